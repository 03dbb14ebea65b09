//! `duolog config …`: the settings, and where they come from.

use std::fmt::Write as _;

use crate::args::{ConfigCommand, ShowArgs, ShowFormat};
use crate::config::{self, ConfigError, KEYS, Loaded, Origin};

/// What `config …` prints.
///
/// # Errors
/// The configuration can't be used.
pub fn text(command: &ConfigCommand) -> Result<String, ConfigError> {
    match command {
        ConfigCommand::Reference => Ok(config::reference()),
        ConfigCommand::Show(args) => {
            let loaded = args.settings.layers()?.load()?;
            Ok(shown(&loaded, args))
        }
    }
}

fn shown(loaded: &Loaded, args: &ShowArgs) -> String {
    match args.output {
        ShowFormat::Json => json(loaded),
        ShowFormat::Text if args.origin => table(loaded),
        ShowFormat::Text => config::yaml(&loaded.config),
    }
}

fn table(loaded: &Loaded) -> String {
    let rows: Vec<(&str, String, String)> = KEYS
        .iter()
        .zip(&loaded.origins)
        .map(|(key, origin)| (key.name, (key.show)(&loaded.config), origin.to_string()))
        .collect();
    let key_width = rows.iter().map(|(key, ..)| key.len()).max().unwrap_or(0);
    let value_width = rows.iter().map(|(_, value, _)| value.chars().count()).max().unwrap_or(0).max(5);
    let mut text = format!("{:key_width$}  {:value_width$}  FROM\n", "KEY", "VALUE");
    for (key, value, origin) in rows {
        let value = if value.is_empty() { "-" } else { &value };
        // Writing to a String can't fail.
        let _ = writeln!(text, "{key:key_width$}  {value:value_width$}  {origin}");
    }
    text
}

fn json(loaded: &Loaded) -> String {
    let rows: Vec<serde_json::Value> = KEYS
        .iter()
        .zip(&loaded.origins)
        .map(|(key, origin)| {
            let kind = match origin {
                Origin::Default => "default",
                Origin::File { .. } => "file",
                Origin::Env(_) => "environment",
                Origin::Flag(_) => "flag",
            };
            serde_json::json!({
                "key": key.name,
                "value": (key.show)(&loaded.config),
                "from": kind,
                "origin": origin.to_string(),
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::from(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn every_setting_is_listed_with_its_origin() {
        let layers = Layers {
            file: Some(("/etc/duolog.yaml".into(), "wal:\n  file_bytes: 1MiB\n".to_owned())),
            env: vec![("DUOLOG_HTTP__LISTEN".to_owned(), "127.0.0.1:0".to_owned())],
            flags: vec![("--data-dir".to_owned(), "data_dir".to_owned(), "/d".to_owned())],
        };
        let text = table(&layers.load().unwrap());
        let row = |key: &str| {
            let line = text.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(row("data_dir"), "/d flag --data-dir");
        assert_eq!(row("wal.file_bytes"), "1MiB /etc/duolog.yaml:2");
        assert_eq!(row("http.listen"), "127.0.0.1:0 environment DUOLOG_HTTP__LISTEN");
        assert_eq!(row("kafka.advertised"), "- default");
        assert_eq!(text.lines().count(), KEYS.len() + 1);
    }
}
