//! Who wins, and what is said when something is wrong.

use super::*;

fn layers(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Layers {
    Layers {
        file: (!file.is_empty()).then(|| (PathBuf::from("duolog.yaml"), file.to_owned())),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        flags: flags
            .iter()
            .map(|(key, value)| ("--set".to_owned(), (*key).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

fn refused(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    layers(file, env, flags).load().unwrap_err().to_string()
}

#[test]
fn the_nearer_layer_wins() {
    const FILE: &str = "topics:\n  default_partitions: 2\n";
    const ENV: (&str, &str) = ("DUOLOG_TOPICS__DEFAULT_PARTITIONS", "3");
    const FLAG: (&str, &str) = ("topics.default_partitions", "4");
    let file = Origin::File { path: "duolog.yaml".into(), line: 2 };
    let env = Origin::Env(ENV.0.to_owned());
    let flag = Origin::Flag("--set".to_owned());
    for (layers, expected, origin) in [
        (layers("", &[], &[]), 1, Origin::Default),
        (layers(FILE, &[], &[]), 2, file),
        (layers(FILE, &[ENV], &[]), 3, env.clone()),
        (layers("", &[ENV], &[]), 3, env),
        (layers(FILE, &[ENV], &[FLAG]), 4, flag.clone()),
        (layers(FILE, &[], &[FLAG]), 4, flag.clone()),
        (layers("", &[], &[FLAG, ("topics.default_partitions", "5")]), 5, flag),
    ] {
        let loaded = layers.load().unwrap();
        let index = KEYS.iter().position(|key| key.name == "topics.default_partitions").unwrap();
        assert_eq!(loaded.config.topics.default_partitions, expected);
        assert_eq!(loaded.origins[index], origin);
        let others = loaded.origins.iter().filter(|origin| **origin != Origin::Default).count();
        assert!(others <= 1, "a layer changed a setting that it doesn't name");
    }
}

#[test]
fn an_unknown_key_in_the_file_shows_its_line_and_what_was_meant() {
    assert_eq!(
        refused("data_dir: /tmp/x\nkafka:\n  listne: 127.0.0.1:9092\n", &[], &[]),
        "duolog.yaml:3: unknown setting `kafka.listne`; did you mean `kafka.listen`?\n  \
         |\n3 |   listne: 127.0.0.1:9092\n  |   ^^^^^^"
    );
    assert_eq!(
        refused("listen: 127.0.0.1:9092\n", &[], &[]),
        "duolog.yaml:1: unknown setting `listen`; did you mean `kafka.listen`?\n  \
         |\n1 | listen: 127.0.0.1:9092\n  | ^^^^^^"
    );
    assert_eq!(
        refused("colour: blue\n", &[], &[]),
        "duolog.yaml:1: unknown setting `colour`; `duolog config reference` lists all\n  \
         |\n1 | colour: blue\n  | ^^^^^^"
    );
}

#[test]
fn a_bad_value_shows_where_it_stands_and_what_would_be_right() {
    assert_eq!(
        refused("wal:\n  file_bytes: 256MB\n", &[], &[]),
        "duolog.yaml:2: wal.file_bytes: `256MB` is not a size; write a number and one of B, KiB, MiB, GiB, TiB\n  \
         |\n2 |   file_bytes: 256MB\n  |               ^^^^^"
    );
    assert_eq!(
        refused("", &[("DUOLOG_DURABILITY", "fsync")], &[]),
        "environment DUOLOG_DURABILITY: durability: `fsync` is not one of sync, os"
    );
    assert_eq!(
        refused("", &[], &[("kafka.listen", "9092")]),
        "flag --set: kafka.listen: `9092` is not host:port"
    );
}

#[test]
fn a_misspelt_variable_or_flag_is_an_error_and_a_stranger_s_is_not() {
    assert_eq!(
        refused("", &[("DUOLOG_KAFKA__LISTN", "x")], &[]),
        "environment DUOLOG_KAFKA__LISTN: unknown setting `DUOLOG_KAFKA__LISTN`; \
         did you mean `DUOLOG_KAFKA__LISTEN`?"
    );
    assert_eq!(
        refused("", &[("DUOLOG_DATADIR", "x")], &[]),
        "environment DUOLOG_DATADIR: unknown setting `DUOLOG_DATADIR`; did you mean `DUOLOG_DATA_DIR`?"
    );
    assert_eq!(
        refused("", &[], &[("wal.file_byte", "1MiB")]),
        "flag --set: unknown setting `wal.file_byte`; did you mean `wal.file_bytes`?"
    );
    let kubernetes = [("DUOLOG_SERVICE_HOST", "10.0.0.1"), ("DUOLOG_PORT_9092_TCP_ADDR", "10.0.0.1")];
    assert!(layers("", &kubernetes, &[]).load().is_ok());
    assert!(layers("", &[("DUOLOG_BOOTSTRAP", "x"), ("HOME", "/")], &[]).load().is_ok());
    // The commands' own, one underscore away from the broker's settings.
    for name in ["DUOLOG_NATS_SERVER", "DUOLOG_NATS_USER", "DUOLOG_NATS_PASSWORD", "DUOLOG_NATS_TOKEN"] {
        assert!(layers("", &[(name, "x")], &[]).load().is_ok(), "{name}");
    }
}

#[test]
fn settings_that_contradict_each_other_name_both_and_who_set_them() {
    assert_eq!(
        refused("groups: {max_session_timeout: 1s}\n", &[], &[]),
        "groups.min_session_timeout = 6s (default) is above groups.max_session_timeout = 1s (duolog.yaml:1)"
    );
}

#[test]
fn broken_yaml_names_the_line() {
    let text = refused("kafka:\n  listen: 'x\n", &[], &[]);
    assert!(text.starts_with("duolog.yaml:"), "{text}");
}

#[test]
fn a_key_that_stands_twice_is_named_with_its_line() {
    assert_eq!(
        refused("data_dir: a\ndata_dir: b\n", &[], &[]),
        "duolog.yaml:2: `data_dir` stands twice\n  |\n2 | data_dir: b"
    );
    assert_eq!(
        refused("log:\n  level: info\n  level: warn\n", &[], &[]),
        "duolog.yaml:3: `level` stands twice\n  |\n3 |   level: warn"
    );
}

#[test]
fn a_section_with_nothing_in_it_sets_nothing() {
    let all_commented_out = "kafka:\n  # listen: 127.0.0.1:0\ntopics:\n  default_partitions: 3\nlog:\n";
    let loaded = layers(all_commented_out, &[], &[]).load().unwrap();
    assert_eq!(loaded.config.topics.default_partitions, 3);
    assert_eq!(loaded.origins.iter().filter(|origin| **origin != Origin::Default).count(), 1);
    // A setting without a value and a section that doesn't exist stay mistakes.
    assert!(refused("data_dir:\n", &[], &[]).contains("data_dir: has no value"));
    assert!(refused("kafak:\n", &[], &[]).contains("unknown setting `kafak`"));
}

#[test]
fn a_wildcard_address_has_to_be_advertised_by_another_name() {
    let text = refused("", &[], &[("kafka.listen", "0.0.0.0:9092")]);
    assert_eq!(
        text,
        "kafka.listen = 0.0.0.0:9092 (flag --set) is no address to connect to: \
         set kafka.advertised to the host:port that clients use"
    );
    let both = [("kafka.listen", "[::]:9092"), ("kafka.advertised", "broker:9092")];
    assert!(layers("", &[], &both).load().is_ok());
}
