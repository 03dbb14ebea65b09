//! All topic configs of Kafka 4.3 and our own (`nats.bind`), sorted by name.

use super::ConfigError;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    /// true or false.
    Boolean,
    /// 32 bits, signed.
    Int,
    /// 64 bits, signed.
    Long,
    /// A fraction.
    Double,
    /// Text.
    String,
    /// Items between commas.
    List,
}

/// Which values are valid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Valid {
    /// Whole numbers between two bounds, both included.
    Whole(i64, i64),
    /// 1 to 9, or -1 for gzip's own default.
    GzipLevel,
    /// Fractions between two bounds, both included.
    Fraction(f64, f64),
    /// true, false.
    Flag,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Any of these, each once.
    AnyOf(&'static [&'static str]),
    /// Any items.
    Items,
}

/// What becomes of a config here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what Kafka's does.
    Obeyed,
    /// It is accepted and shown, and changes nothing, for the reason given.
    None(&'static str),
    /// Obeyed, but for this value, which is refused for the reason given.
    Except(&'static str, &'static str),
    /// Without effect, and this value is refused for the reason given.
    NoneExcept(&'static str, &'static str),
}

/// One config.
#[derive(Clone, Copy, Debug)]
pub struct ConfigDef {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub kind: ConfigType,
    /// Its value where nobody set one.
    pub default: &'static str,
    /// Which values are valid.
    pub valid: Valid,
    /// What becomes of it here.
    pub effect: Effect,
    /// The broker config that gives the default (Kafka: synonym), if there is one.
    pub broker_name: Option<&'static str>,
    /// What it means.
    pub doc: &'static str,
}

const NO_COMPACTION: &str = "log compaction is not built yet";
const NO_TIERED: &str = "there is no tiered storage";
const ALWAYS_SYNCED: &str = "every record is on stable storage before it is acknowledged";
const OWN_INDEX: &str = "the log sizes its indexes itself";
const ONE_NODE: &str = "there is one replica";
const LONG_MAX: &str = "9223372036854775807";

const fn def(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    valid: Valid,
    effect: Effect,
    broker_name: Option<&'static str>,
    doc: &'static str,
) -> ConfigDef {
    ConfigDef { name, kind, default, valid, effect, broker_name, doc }
}

use ConfigType::{Boolean, Double, Int, List, Long, String as Text};
use Effect::{Except, None as NoEffect, NoneExcept, Obeyed};
use Valid::{AnyOf, Flag, Fraction, GzipLevel, Items, OneOf, Whole};

const INT_MAX: i64 = i32::MAX as i64;
const LONG: i64 = i64::MAX;

/// Every topic config, sorted by name.
#[rustfmt::skip]
pub const TOPIC_CONFIGS: &[ConfigDef] = &[
    def("cleanup.policy", List, "delete", AnyOf(&["compact", "delete"]), Except("compact", NO_COMPACTION),
        Some("log.cleanup.policy"),
        "What happens to old data: delete removes it by retention.ms and retention.bytes; an empty list keeps it."),
    def("compression.gzip.level", Int, "-1", GzipLevel, NoEffect("recompression uses each codec's default level"),
        Some("compression.gzip.level"), "The gzip level where compression.type is gzip."),
    def("compression.lz4.level", Int, "9", Whole(1, 17), NoEffect("recompression uses each codec's default level"),
        Some("compression.lz4.level"), "The lz4 level where compression.type is lz4."),
    def("compression.type", Text, "producer", OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), Obeyed,
        Some("compression.type"),
        "The codec in which batches are stored. producer keeps each batch as its producer sent it, which costs nothing; \
         any other makes the broker recompress what arrives differently."),
    def("compression.zstd.level", Int, "3", Whole(-131_072, 22), NoEffect("recompression uses each codec's default level"),
        Some("compression.zstd.level"), "The zstd level where compression.type is zstd."),
    def("delete.retention.ms", Long, "86400000", Whole(0, LONG), NoEffect(NO_COMPACTION),
        Some("log.cleaner.delete.retention.ms"), "How long tombstones stay in a compacted topic."),
    def("file.delete.delay.ms", Long, "60000", Whole(0, LONG),
        NoEffect("files go as soon as no reader holds them"),
        Some("log.segment.delete.delay.ms"), "How long a deleted segment's file stays."),
    def("flush.messages", Long, LONG_MAX, Whole(1, LONG), NoEffect(ALWAYS_SYNCED),
        Some("log.flush.interval.messages"), "After how many records a sync is forced."),
    def("flush.ms", Long, LONG_MAX, Whole(0, LONG), NoEffect(ALWAYS_SYNCED),
        Some("log.flush.interval.ms"), "After how much time a sync is forced."),
    def("follower.replication.throttled.replicas", List, "", Items, NoEffect(ONE_NODE),
        None, "Follower replicas whose replication is throttled."),
    def("index.interval.bytes", Int, "4096", Whole(0, INT_MAX), NoEffect(OWN_INDEX),
        Some("log.index.interval.bytes"), "How far index entries are apart."),
    def("leader.replication.throttled.replicas", List, "", Items, NoEffect(ONE_NODE),
        None, "Leader replicas whose replication is throttled."),
    def("local.retention.bytes", Long, "-2", Whole(-2, LONG), NoEffect(NO_TIERED),
        Some("log.local.retention.bytes"), "How much of a tiered partition stays on local disk."),
    def("local.retention.ms", Long, "-2", Whole(-2, LONG), NoEffect(NO_TIERED),
        Some("log.local.retention.ms"), "How long data of a tiered partition stays on local disk."),
    def("max.compaction.lag.ms", Long, LONG_MAX, Whole(1, LONG), NoEffect(NO_COMPACTION),
        Some("log.cleaner.max.compaction.lag.ms"), "The longest time for which a record may stay uncompacted."),
    def("max.message.bytes", Int, "1048588", Whole(0, INT_MAX), Obeyed,
        Some("message.max.bytes"), "The largest record batch that is taken, as sent (after compression)."),
    def("message.timestamp.after.max.ms", Long, "3600000", Whole(0, LONG), Obeyed,
        Some("log.message.timestamp.after.max.ms"),
        "How far a record's timestamp may be in the future, with message.timestamp.type=CreateTime."),
    def("message.timestamp.before.max.ms", Long, LONG_MAX, Whole(0, LONG), Obeyed,
        Some("log.message.timestamp.before.max.ms"),
        "How far a record's timestamp may be in the past, with message.timestamp.type=CreateTime. \
         Any other value than the default makes the broker read every record."),
    def("message.timestamp.type", Text, "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), Obeyed,
        Some("log.message.timestamp.type"),
        "Whether a record keeps its producer's timestamp or gets the time at which it was appended."),
    def("min.cleanable.dirty.ratio", Double, "0.5", Fraction(0.0, 1.0), NoEffect(NO_COMPACTION),
        Some("log.cleaner.min.cleanable.ratio"), "How much of a log must be uncompacted before it is compacted."),
    def("min.compaction.lag.ms", Long, "0", Whole(0, LONG), NoEffect(NO_COMPACTION),
        Some("log.cleaner.min.compaction.lag.ms"), "The shortest time for which a record stays uncompacted."),
    def("min.insync.replicas", Int, "1", Whole(1, INT_MAX),
        NoEffect("there is one replica, and more than there are can't be waited for; what is acknowledged is on stable storage"),
        Some("min.insync.replicas"), "How many replicas must have a record before acks=all is answered."),
    def("nats.bind", Boolean, "true", Flag, Obeyed,
        None, "Whether NATS clients reach the topic by subjects: its name is the first token, the record's key the rest. \
         Topics that a client's typo made (auto.create.topics.enable) say false."),
    def("preallocate", Boolean, "false", Flag, NoEffect("the log preallocates its write-ahead files only"),
        Some("log.preallocate"), "Whether a new segment's file gets its full size at once."),
    def("remote.copy.lag.bytes", Long, "0", Whole(-1, LONG), NoEffect(NO_TIERED),
        None, "How many bytes stay local before they are copied to tiered storage."),
    def("remote.copy.lag.ms", Long, "0", Whole(-1, LONG), NoEffect(NO_TIERED),
        None, "How long data stays local before it is copied to tiered storage."),
    def("remote.log.copy.disable", Boolean, "false", Flag, NoEffect(NO_TIERED),
        None, "Whether a tiered topic stops copying to tiered storage."),
    def("remote.log.delete.on.disable", Boolean, "false", Flag, NoEffect(NO_TIERED),
        None, "Whether tiered data is deleted when tiering is switched off."),
    def("remote.storage.enable", Boolean, "false", Flag, NoneExcept("true", NO_TIERED),
        None, "Whether the topic's older data goes to tiered storage."),
    def("retention.bytes", Long, "-1", Whole(i64::MIN, LONG), Obeyed,
        Some("log.retention.bytes"),
        "How large a partition may grow before its oldest data is deleted; negative is without limit."),
    def("retention.ms", Long, "604800000", Whole(-1, LONG), Obeyed,
        Some("log.retention.ms"), "How long data is kept, counted from its timestamp; -1 is for ever."),
    def("segment.bytes", Int, "1073741824", Whole(1024 * 1024, INT_MAX),
        Obeyed,
        Some("log.segment.bytes"),
        "The size at which a segment is sealed; retention works on whole segments, and on what isn't in one yet."),
    def("segment.index.bytes", Int, "10485760", Whole(4, INT_MAX), NoEffect(OWN_INDEX),
        Some("log.index.size.max.bytes"), "The size of a segment's index."),
    def("segment.jitter.ms", Long, "0", Whole(0, LONG), NoEffect("segments are not rolled by a timer"),
        Some("log.roll.jitter.ms"), "A random part that is taken off segment.ms."),
    def("segment.ms", Long, "604800000", Whole(1, LONG),
        NoEffect("retention applies to the data that isn't in a sealed segment too, without rolling one"),
        Some("log.roll.ms"), "The age at which a segment is sealed even if it isn't full."),
    def("unclean.leader.election.enable", Boolean, "false", Flag, NoEffect(ONE_NODE),
        Some("unclean.leader.election.enable"), "Whether a replica that lags may become leader, which loses data."),
];

/// The config of a name.
#[must_use]
pub fn topic_config_def(name: &str) -> Option<&'static ConfigDef> {
    TOPIC_CONFIGS.binary_search_by(|def| def.name.cmp(name)).ok().map(|index| &TOPIC_CONFIGS[index])
}

impl ConfigDef {
    /// Its documentation, with what becomes of it here.
    #[must_use]
    pub fn documentation(&self) -> String {
        match self.effect {
            Obeyed => self.doc.to_owned(),
            NoEffect(why) | NoneExcept(_, why) => {
                format!("{} Not supported: accepted and shown, without effect, because {why}.", self.doc)
            }
            Except(value, why) => format!("{} The value {value} is refused: {why}.", self.doc),
        }
    }

    /// Whether it does anything.
    #[must_use]
    pub fn is_obeyed(&self) -> bool {
        matches!(self.effect, Obeyed | Except(..))
    }

    /// Checks a value, and gives it back without surrounding blanks.
    ///
    /// # Errors
    /// The value can't be read, is out of bounds, or can't be obeyed.
    pub fn check<'v>(&self, value: &'v str) -> Result<&'v str, ConfigError> {
        let value = value.trim();
        if let Err(problem) = self.check_valid(value) {
            return Err(ConfigError::InvalidValue {
                key: self.name.to_owned(),
                value: value.to_owned(),
                problem,
            });
        }
        if let Except(refused, reason) | NoneExcept(refused, reason) = self.effect
            && items(value).any(|item| item.eq_ignore_ascii_case(refused))
        {
            return Err(ConfigError::NotSupported {
                key: self.name.to_owned(),
                value: refused.to_owned(),
                reason,
            });
        }
        Ok(value)
    }

    fn check_valid(&self, value: &str) -> Result<(), String> {
        match self.valid {
            Whole(low, high) => match value.parse::<i64>() {
                Ok(number) if (low..=high).contains(&number) => Ok(()),
                Ok(_) => Err(format!("it must be between {low} and {high}")),
                Err(_) => Err("it must be a whole number".to_owned()),
            },
            GzipLevel => match value.parse::<i64>() {
                Ok(-1 | 1..=9) => Ok(()),
                _ => Err("it must be between 1 and 9, or -1".to_owned()),
            },
            Fraction(low, high) => match value.parse::<f64>() {
                Ok(number) if (low..=high).contains(&number) => Ok(()),
                _ => Err(format!("it must be a number between {low} and {high}")),
            },
            Flag if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") => Ok(()),
            Flag => Err("it must be true or false".to_owned()),
            OneOf(allowed) if allowed.contains(&value) => Ok(()),
            OneOf(allowed) => Err(format!("it must be one of {}", allowed.join(", "))),
            AnyOf(allowed) => {
                let mut seen = Vec::new();
                for item in items(value) {
                    if !allowed.contains(&item) {
                        return Err(format!("the items must be of {}", allowed.join(", ")));
                    }
                    if seen.contains(&item) {
                        return Err(format!("{item} stands twice in the list"));
                    }
                    seen.push(item);
                }
                Ok(())
            }
            Items => Ok(()),
        }
    }
}

/// The items of a list's value.
pub(crate) fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_complete_and_its_defaults_are_valid() {
        assert!(TOPIC_CONFIGS.is_sorted_by(|a, b| a.name < b.name));
        // Kafka's 35, and `nats.bind`.
        assert_eq!(TOPIC_CONFIGS.len(), 36);
        for def in TOPIC_CONFIGS {
            assert_eq!(def.check(def.default), Ok(def.default), "{}", def.name);
            assert!(!def.doc.is_empty());
            assert_eq!(topic_config_def(def.name).unwrap().name, def.name);
        }
        assert!(topic_config_def("retention.hours").is_none());
    }

    #[test]
    fn values_are_checked() {
        let table: &[(&str, &str, bool)] = &[
            ("retention.ms", "-1", true),
            ("retention.ms", "-2", false),
            ("retention.ms", " 5 ", true),
            ("retention.ms", "week", false),
            ("retention.ms", "9223372036854775808", false),
            ("retention.bytes", "-77", true),
            ("max.message.bytes", "2147483648", false),
            ("cleanup.policy", "delete", true),
            ("cleanup.policy", "", true),
            ("cleanup.policy", "delete,delete", false),
            ("cleanup.policy", "compact", false),
            ("cleanup.policy", "delete,compact", false),
            ("cleanup.policy", "remove", false),
            ("preallocate", "TRUE", true),
            ("preallocate", "yes", false),
            ("min.cleanable.dirty.ratio", "0.25", true),
            ("min.cleanable.dirty.ratio", "NaN", false),
            ("min.cleanable.dirty.ratio", "1.5", false),
            ("compression.gzip.level", "0", false),
            ("compression.gzip.level", "-1", true),
            ("compression.type", "none", false),
            ("remote.storage.enable", "true", false),
            ("remote.storage.enable", "false", true),
        ];
        for (name, value, valid) in table {
            assert_eq!(topic_config_def(name).unwrap().check(value).is_ok(), *valid, "{name}={value}");
        }
    }

    #[test]
    fn what_is_not_obeyed_says_so() {
        for def in TOPIC_CONFIGS {
            let text = def.documentation();
            assert_eq!(text.contains("Not supported"), !def.is_obeyed(), "{}", def.name);
        }
        let error = topic_config_def("cleanup.policy").unwrap().check("compact").unwrap_err();
        assert!(error.to_string().contains("not supported yet"), "{error}");
    }
}
