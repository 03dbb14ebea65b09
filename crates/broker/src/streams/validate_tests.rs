use super::*;
use crate::streams::StorageType;

fn config() -> StreamConfig {
    StreamConfig {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        ..StreamConfig::default()
    }
}

fn with(change: impl FnOnce(&mut StreamConfig)) -> StreamConfig {
    let mut config = config();
    change(&mut config);
    config
}

#[test]
fn defaults_are_written_back() {
    let made = checked(StreamConfig { name: "S".to_owned(), ..StreamConfig::default() }, false).unwrap();
    assert_eq!(made.subjects, ["S"]);
    assert_eq!(made.duplicate_window, Some(Duration::from_secs(120)));
    assert_eq!((made.num_replicas, made.first_seq), (1, 0));
    let zero = with(|config| {
        config.max_msgs = Some(0);
        config.max_bytes = Some(0);
        config.max_age = Some(Duration::ZERO);
    });
    let made = checked(zero, false).unwrap();
    assert_eq!((made.max_msgs, made.max_bytes, made.max_age), (None, None, None));
    let aged = with(|config| config.max_age = Some(Duration::from_secs(1)));
    assert_eq!(checked(aged.clone(), false).unwrap().duplicate_window, Some(Duration::from_secs(1)));
    assert_eq!(checked(aged, true), Err(StreamConfigError::PedanticDuplicates));
    let marked = with(|config| config.subject_delete_marker_ttl = Some(Duration::from_secs(1)));
    let made = checked(marked.clone(), false).unwrap();
    assert!(made.allow_msg_ttl && made.allow_rollup_hdrs);
    assert_eq!(checked(marked, true), Err(StreamConfigError::PedanticMarkerNeedsTtl));
}

#[test]
fn bad_configurations_are_refused_by_name() {
    use StreamConfigError as Error;
    let subjects = |subjects: &[&str]| {
        let subjects: Vec<String> = subjects.iter().map(|subject| (*subject).to_owned()).collect();
        with(|config| config.subjects = subjects)
    };
    let cases: Vec<(StreamConfig, Error)> = vec![
        (with(|c| c.name = "a.b".into()), Error::Name),
        (with(|c| c.name = "a b".into()), Error::Name),
        (with(|c| c.name = String::new()), Error::Name),
        (with(|c| c.name = "x".repeat(256)), Error::NameTooLong { limit: 255 }),
        (with(|c| c.num_replicas = 6), Error::TooManyReplicas { limit: 5 }),
        (with(|c| c.num_replicas = 3), Error::ReplicasNotSupported),
        (with(|c| c.description = Some("x".repeat(5000))), Error::DescriptionTooLong { limit: 4096 }),
        (with(|c| c.max_age = Some(Duration::from_millis(99))), Error::MaxAgeTooSmall),
        (with(|c| c.duplicate_window = Some(Duration::from_millis(99))), Error::DuplicatesTooSmall),
        (
            with(|c| {
                c.max_age = Some(Duration::from_secs(1));
                c.duplicate_window = Some(Duration::from_secs(2));
            }),
            Error::DuplicatesAboveMaxAge,
        ),
        (with(|c| (c.deny_purge, c.allow_rollup_hdrs) = (true, true)), Error::RollupNeedsPurge),
        (with(|c| c.discard_new_per_subject = true), Error::DiscardNewPerSubjectNeedsDiscardNew),
        (
            with(|c| (c.discard_new_per_subject, c.discard) = (true, DiscardPolicy::New)),
            Error::DiscardNewPerSubjectNeedsLimit,
        ),
        (with(|c| c.subject_delete_marker_ttl = Some(Duration::from_millis(999))), Error::MarkerTtlTooSmall),
        (subjects(&["a..b"]), Error::InvalidSubject),
        (subjects(&["a", "a"]), Error::SubjectsOverlap { subject: "a".into(), other: "a".into() }),
        (subjects(&[">"]), Error::AllSubjectsNeedNoAck),
        (subjects(&["$JS.API.>"]), Error::OverlapsApi),
        (subjects(&["$SYS.>"]), Error::OverlapsSystem),
        (subjects(&["a.*", "a.b"]), Error::SubjectsOverlap { subject: "a.*".into(), other: "a.b".into() }),
    ];
    for (config, error) in cases {
        assert_eq!(checked(config.clone(), false), Err(error), "{config:?}");
    }
    let not_a_topics = checked(with(|c| c.name = "a=1".into()), false);
    assert!(matches!(not_a_topics, Err(Error::NameNotATopics(_))));
    for fine in [&["$JS.EVENT.ADVISORY.>"][..], &["$KV.b.>"], &["$O.b.C.>", "$O.b.M.>"], &["$SYS.ACCOUNT.x"]]
    {
        assert!(checked(subjects(fine), false).is_ok(), "{fine:?}");
    }
    assert!(checked(with(|c| (c.no_ack, c.subjects) = (true, vec![">".into()])), false).is_ok());
}

#[test]
fn updates_can_not_change_what_was_promised() {
    use StreamConfigError as Error;
    let old = checked(
        with(|c| (c.deny_delete, c.deny_purge, c.allow_msg_ttl, c.sealed) = (true, true, true, true)),
        false,
    )
    .unwrap();
    let change = |change: &dyn Fn(&mut StreamConfig)| {
        let mut new = old.clone();
        change(&mut new);
        updated(&old, new, false).unwrap_err()
    };
    assert_eq!(change(&|c| c.name = "X".into()), Error::NameChanged);
    assert_eq!(change(&|c| c.storage = StorageType::Memory), Error::StorageChanged);
    assert_eq!(change(&|c| c.retention = RetentionPolicy::WorkQueue), Error::RetentionChanged);
    assert_eq!(change(&|c| c.sealed = false), Error::Unsealed);
    assert_eq!(change(&|c| c.deny_delete = false), Error::DeleteAllowed);
    assert_eq!(change(&|c| c.deny_purge = false), Error::PurgeAllowed);
    assert_eq!(change(&|c| c.allow_msg_ttl = false), Error::TtlDisabled);

    let open = checked(with(|c| c.max_age = Some(Duration::from_secs(9))), false).unwrap();
    let sealed = updated(&open, StreamConfig { sealed: true, ..open.clone() }, false).unwrap();
    assert!(sealed.deny_delete && sealed.deny_purge && sealed.max_age.is_none());
    assert_eq!(sealed.discard, DiscardPolicy::New);
    let interest = StreamConfig { retention: RetentionPolicy::Interest, ..open.clone() };
    assert!(updated(&open, interest, false).is_ok());
}

#[test]
fn the_servers_own_metadata_makes_no_difference() {
    let marked = with(|c| _ = c.metadata.insert("_nats.level".into(), "1".into()));
    assert!(same(&config(), &marked));
    assert!(!same(&config(), &with(|c| _ = c.metadata.insert("owner".into(), "me".into()))));
}
