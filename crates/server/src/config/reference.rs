//! docs/config.md, written from the table.

use super::table::{Config, KEYS, SECTIONS};

/// The reference of all settings, as Markdown.
pub fn reference() -> String {
    let mut text = String::from(
        "# Settings\n\n\
         <!-- Generated: `cargo run -p duolog-server -- config reference > docs/config.md` -->\n\n\
         A value is taken from the first of these that has one: a flag (`--set kafka.listen=0.0.0.0:9092`), the\n\
         environment (`DUOLOG_KAFKA__LISTEN`), the file (`duolog -f duolog.yaml`), the default. An unknown name is\n\
         an error that says where it stands and what was probably meant. `duolog config show --origin` prints every\n\
         setting with its value and where that came from. All are read once, at start.\n\n\
         ```yaml\n# duolog.yaml\ndata_dir: /var/lib/duolog\nkafka:\n  listen: 0.0.0.0:9092\n  advertised: broker.example.com:9092\n```\n",
    );
    let mut section = None;
    for key in KEYS {
        let of = key.name.split_once('.').map_or("", |(section, _)| section);
        if section != Some(of) {
            section = Some(of);
            match SECTIONS.iter().find(|(name, _)| *name == of) {
                Some((name, doc)) => text.push_str(&format!("\n## {name}\n\n{}\n", paragraph(doc))),
                None => text.push_str("\n## Top level\n"),
            }
        }
        text.push_str(&format!("\n### `{}`\n\n{}\n\n", key.name, paragraph(key.doc)));
        let default = if key.default.is_empty() { "empty".to_owned() } else { format!("`{}`", key.default) };
        text.push_str(&format!("- Default: {default}\n- Type: {}\n", key.kind));
        if let Some((min, max)) = key.bounds {
            text.push_str(&format!("- Bounds: `{min}` to `{max}`\n"));
        }
        text.push_str(&format!("- Environment: `{}`\n", key.env_name()));
    }
    text
}

/// The configuration as a file that gives it again.
pub fn yaml(config: &Config) -> String {
    let mut text = String::new();
    let mut section = "";
    for key in KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if of != section {
            section = of;
            text.push_str(&format!("{section}:\n"));
        }
        let indent = if of.is_empty() { "" } else { "  " };
        text.push_str(&format!("{indent}{name}: {}\n", quoted(&(key.show)(config))));
    }
    text
}

/// A YAML scalar that is read back as the same text whatever stands in it.
fn quoted(value: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-:".contains(letter);
    let safe =
        !value.is_empty() && value.chars().all(plain) && !value.ends_with(':') && !value.starts_with('-');
    if safe { value.to_owned() } else { format!("'{}'", value.replace('\'', "''")) }
}

fn paragraph(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "reads a document of the repository")]
    fn the_committed_reference_is_not_stale() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
        let committed = std::fs::File::open(path).and_then(std::io::read_to_string).unwrap_or_default();
        assert!(
            committed == reference(),
            "docs/config.md is stale: cargo run -p duolog-server -- config reference > docs/config.md"
        );
    }

    #[test]
    fn what_is_shown_as_yaml_is_read_back_as_the_same() {
        let mut config = Config { data_dir: "/tmp/it's a # path: x".into(), ..Config::default() };
        config.topics.auto_create = false;
        let file = Some(("x.yaml".into(), yaml(&config)));
        assert_eq!(Layers { file, ..Layers::default() }.load().unwrap().config, config);
    }
}
