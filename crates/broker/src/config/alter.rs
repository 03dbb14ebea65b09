//! What a change of configs would make of a topic's overrides: pure, so that `validate_only` is the same code.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::table::{ConfigDef, ConfigType, items};
use super::{ConfigError, Overrides, TopicConfig, TopicDefaults, topic_config_def};
use crate::catalog::{AlterConfigError, AlterOp, ConfigChange};

/// The configs of a new topic.
pub(crate) fn overrides_of(configs: &[(String, Option<String>)]) -> Result<Overrides, ConfigError> {
    let mut overrides = Overrides::new();
    for (key, value) in configs {
        let def = known(key)?;
        let Some(value) = value else { continue };
        let value = def.check(value)?;
        overrides.retain(|(name, _)| name.as_ref() != key);
        overrides.push((Arc::from(def.name), Arc::from(value)));
    }
    overrides.sort();
    Ok(overrides)
}

/// The configs of a topic after a change.
pub(crate) fn plan_change(
    current: &TopicConfig,
    defaults: &TopicDefaults,
    change: &ConfigChange,
) -> Result<TopicConfig, AlterConfigError> {
    let overrides = match change {
        ConfigChange::Replace(configs) => {
            each_once(configs.iter().map(|(key, _)| key))?;
            overrides_of(configs)?
        }
        ConfigChange::Incremental(changes) => {
            each_once(changes.iter().map(|(key, _)| key))?;
            let mut overrides = current.overrides().clone();
            for (key, op) in changes {
                let def = known(key)?;
                let value = match op {
                    AlterOp::Delete => None,
                    AlterOp::Set(value) => Some(given(key, value)?.to_owned()),
                    AlterOp::Append(value) | AlterOp::Subtract(value) => {
                        let change = given(key, value)?;
                        let append = matches!(op, AlterOp::Append(_));
                        Some(edit_list(def, current.get(key, defaults).0, change, append)?)
                    }
                };
                overrides.retain(|(name, _)| name.as_ref() != key);
                if let Some(value) = value {
                    overrides.push((Arc::from(def.name), Arc::from(def.check(&value)?)));
                }
            }
            overrides
        }
    };
    Ok(TopicConfig::new(overrides, defaults)?)
}

fn known(key: &str) -> Result<&'static ConfigDef, ConfigError> {
    topic_config_def(key).ok_or_else(|| ConfigError::UnknownKey { key: key.to_owned() })
}

fn given<'v>(key: &str, value: &'v Option<String>) -> Result<&'v str, AlterConfigError> {
    value.as_deref().ok_or_else(|| AlterConfigError::NullValue { key: key.to_owned() })
}

fn each_once<'k>(keys: impl Iterator<Item = &'k String>) -> Result<(), AlterConfigError> {
    let mut seen = BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            return Err(AlterConfigError::DuplicateKey { key: key.clone() });
        }
    }
    Ok(())
}

/// Adds items to a list (those that aren't there yet), or takes them away.
fn edit_list(def: &ConfigDef, current: &str, change: &str, append: bool) -> Result<String, ConfigError> {
    if def.kind != ConfigType::List {
        return Err(ConfigError::NotAList { key: def.name.to_owned() });
    }
    let mut list: Vec<&str> = items(current).collect();
    for item in items(change) {
        if !append {
            list.retain(|present| *present != item);
        } else if !list.contains(&item) {
            list.push(item);
        }
    }
    Ok(list.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn plan(set: &[(&str, &str)], change: &ConfigChange) -> Result<Vec<(String, String)>, AlterConfigError> {
        let defaults = TopicDefaults::default();
        let set: Vec<_> = set.iter().map(|(key, value)| ((*key).to_owned(), some(value))).collect();
        let current = TopicConfig::new(overrides_of(&set)?, &defaults)?;
        let planned = plan_change(&current, &defaults, change)?;
        Ok(planned.overrides().iter().map(|(key, value)| (key.to_string(), value.to_string())).collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn incremental_changes_touch_only_their_keys() {
        let change = ConfigChange::Incremental(vec![
            ("retention.ms".to_owned(), AlterOp::Set(some("5"))),
            ("segment.ms".to_owned(), AlterOp::Delete),
        ]);
        let planned = plan(&[("segment.ms", "9"), ("flush.ms", "7")], &change).unwrap();
        assert_eq!(planned, pairs(&[("flush.ms", "7"), ("retention.ms", "5")]));
    }

    #[test]
    fn replace_forgets_what_it_does_not_name() {
        let change = ConfigChange::Replace(vec![
            ("retention.ms".to_owned(), some("5")),
            ("flush.ms".to_owned(), None),
        ]);
        let planned = plan(&[("segment.ms", "9"), ("flush.ms", "7")], &change).unwrap();
        assert_eq!(planned, pairs(&[("retention.ms", "5")]));
    }

    #[test]
    fn lists_are_added_to_and_taken_from() {
        let key = "leader.replication.throttled.replicas";
        let op = |op| ConfigChange::Incremental(vec![(key.to_owned(), op)]);
        let added = plan(&[(key, "0:1")], &op(AlterOp::Append(some("1:1, 0:1")))).unwrap();
        assert_eq!(added, pairs(&[(key, "0:1,1:1")]));
        let taken = plan(&[(key, "0:1,1:1")], &op(AlterOp::Subtract(some("0:1,9:9")))).unwrap();
        assert_eq!(taken, pairs(&[(key, "1:1")]));
        // The default counts as current: cleanup.policy is "delete" where nothing was set.
        let policy = "cleanup.policy";
        let change = ConfigChange::Incremental(vec![(policy.to_owned(), AlterOp::Subtract(some("delete")))]);
        assert_eq!(plan(&[], &change).unwrap(), pairs(&[(policy, "")]));
        let change = ConfigChange::Incremental(vec![(policy.to_owned(), AlterOp::Append(some("compact")))]);
        assert!(matches!(
            plan(&[], &change),
            Err(AlterConfigError::Config(ConfigError::NotSupported { .. }))
        ));
    }

    #[test]
    fn bad_changes_are_refused_by_name() {
        let one = |key: &str, op| ConfigChange::Incremental(vec![(key.to_owned(), op)]);
        let refused = |change: &ConfigChange| plan(&[], change).unwrap_err();
        assert!(matches!(
            refused(&one("nope", AlterOp::Delete)),
            AlterConfigError::Config(ConfigError::UnknownKey { .. })
        ));
        assert!(matches!(
            refused(&one("retention.ms", AlterOp::Append(some("1")))),
            AlterConfigError::Config(ConfigError::NotAList { .. })
        ));
        assert!(matches!(
            refused(&one("retention.ms", AlterOp::Set(None))),
            AlterConfigError::NullValue { .. }
        ));
        let twice = ConfigChange::Incremental(vec![
            ("retention.ms".to_owned(), AlterOp::Delete),
            ("retention.ms".to_owned(), AlterOp::Set(some("1"))),
        ]);
        assert!(matches!(refused(&twice), AlterConfigError::DuplicateKey { .. }));
    }
}
