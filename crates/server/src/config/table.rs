//! The table of settings. Adding one is adding it here: everything else is made of this table.

use std::path::PathBuf;

use super::value::{ByteSize, Durability, Hidden, HostPort, LogFormat, LogLevel, Setting, Span};

/// One setting, for whoever looks settings up by name.
#[derive(Debug)]
pub struct Key {
    /// Its full name: `kafka.listen`.
    pub name: &'static str,
    /// What it decides, by line.
    pub doc: &'static [&'static str],
    /// The value without any other.
    pub default: &'static str,
    /// The least and the largest value, where there are such.
    pub bounds: Option<(&'static str, &'static str)>,
    /// Its type, for people.
    pub kind: &'static str,
    /// Reads a value into the configuration.
    pub set: fn(&mut Config, &str) -> Result<(), String>,
    /// The value in the configuration.
    pub show: fn(&Config) -> String,
}

impl Key {
    /// The environment variable that sets it.
    pub fn env_name(&self) -> String {
        format!("DUOLOG_{}", self.name.replace('.', "__").to_uppercase())
    }
}

fn parse_within<T: Setting + PartialOrd>(
    text: &str,
    bounds: Option<(&'static str, &'static str)>,
) -> Result<T, String> {
    let value = T::parse(text)?;
    if let Some((min, max)) = bounds {
        let within = T::parse(min)? <= value && value <= T::parse(max)?;
        if !within {
            return Err(format!("`{text}` is not between {min} and {max}"));
        }
    }
    Ok(value)
}

macro_rules! bounds {
    () => {
        None
    };
    ($min:literal, $max:literal) => {
        Some(($min, $max))
    };
}

/// Makes the structs and [`KEYS`] of one list. Top-level keys first, then sections.
macro_rules! settings {
    (
        top {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:literal $(in $min:literal..$max:literal)?; )*
        }
        $(
            $(#[doc = $section_doc:literal])+
            section $section:ident: $Section:ident {
                $( $(#[doc = $key_doc:literal])+ $key:ident: $key_type:ty = $key_default:literal $(in $key_min:literal..$key_max:literal)?; )+
            }
        )*
    ) => {
        /// Every setting of the broker.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $( $(#[doc = $doc])+ pub $field: $type, )*
            $( $(#[doc = $section_doc])+ pub $section: $Section, )*
        }

        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $Section {
                $( $(#[doc = $key_doc])+ pub $key: $key_type, )+
            }
        )*

        impl Default for Config {
            fn default() -> Self {
                const PARSES: &str = "a default in the table is of its key's type: config::table::tests reads all";
                Self {
                    $( $field: <$type as Setting>::parse($default).expect(PARSES), )*
                    $( $section: $Section {
                        $( $key: <$key_type as Setting>::parse($key_default).expect(PARSES), )+
                    }, )*
                }
            }
        }

        /// Every setting, in the order of the reference.
        pub static KEYS: &[Key] = &[
            $( Key {
                name: stringify!($field),
                doc: &[$($doc),+],
                default: $default,
                bounds: bounds!($($min, $max)?),
                kind: <$type as Setting>::KIND,
                set: |config, text| { config.$field = parse_within(text, bounds!($($min, $max)?))?; Ok(()) },
                show: |config| config.$field.show(),
            }, )*
            $( $( Key {
                name: concat!(stringify!($section), ".", stringify!($key)),
                doc: &[$($key_doc),+],
                default: $key_default,
                bounds: bounds!($($key_min, $key_max)?),
                kind: <$key_type as Setting>::KIND,
                set: |config, text| {
                    config.$section.$key = parse_within(text, bounds!($($key_min, $key_max)?))?;
                    Ok(())
                },
                show: |config| config.$section.$key.show(),
            }, )+ )*
        ];

        /// The sections, and what each is about.
        pub static SECTIONS: &[(&str, &[&str])] = &[ $( (stringify!($section), &[$($section_doc),+]), )* ];
    };
}

settings! {
    top {
        /// Where everything that must survive is kept. One broker at a time uses it.
        data_dir: PathBuf = "./duolog-data";
        /// What "acknowledged" means. `sync`: on stable storage, it survives a power cut. `os`: the operating system
        /// has it; it survives the end of the broker, and a power cut may take back what was acknowledged.
        durability: Durability = "sync";
    }

    /// The door for Kafka clients.
    section kafka: Kafka {
        /// Where Kafka clients connect. Port 0: the kernel picks one, and the startup lines say which.
        listen: HostPort = "127.0.0.1:9092";
        /// The address that clients are told to connect to. Empty: the listen address, with the port as bound.
        /// To be set where clients reach the broker by another name (containers, port forwarding).
        advertised: Option<HostPort> = "";
        /// The largest request: by default 16 MiB of records, and 64 KiB for the request around them. A longer one
        /// closes its connection before anything of it is kept.
        max_frame_bytes: ByteSize = "16448KiB" in "1MiB".."1GiB";
        /// Connections at a time. One more is closed at once, with a log line. Where the system allows the process
        /// too few open files for so many, fewer are in force, and a warning at start says how many.
        max_connections: u32 = "20000" in "1".."1000000";
        /// Connections at a time from one address. 10,000 connections from one address (a load generator, a proxy,
        /// clients behind one NAT) need it raised.
        max_connections_per_ip: u32 = "1000" in "1".."1000000";
        /// A connection without a request for so long is closed.
        idle_timeout: Span = "10m" in "1s".."30d";
        /// Memory for requests that are being read or handled, over all connections. When it is used up, sockets
        /// are not read until answers have left.
        request_memory_bytes: ByteSize = "256MiB" in "16MiB".."1TiB";
    }

    /// The door for NATS clients.
    section nats: Nats {
        /// Where NATS clients connect. Port 0: the kernel picks one, and the startup lines say which. Empty: nowhere.
        listen: Option<HostPort> = "127.0.0.1:4222";
        /// The name that clients are told. Empty: an id that is new at every start.
        server_name: String = "";
        /// The token that clients must give. Empty: none.
        token: Hidden = "";
        /// The user that clients must be, with `nats.password`. Empty: nobody is asked.
        user: String = "";
        /// The password of `nats.user`.
        password: Hidden = "";
        /// The largest message, headers and payload together. A larger one closes its connection.
        max_payload: ByteSize = "1MiB" in "1KiB".."64MiB";
        /// The longest control line, the verb and its blanks not counted.
        max_control_line: ByteSize = "4KiB" in "512B".."1MiB";
        /// Connections at a time. One more is told so and closed. Where the system allows the process too few open
        /// files for so many, fewer are in force, and a warning at start says how many.
        max_connections: u32 = "65536" in "1".."1000000";
        /// Subscriptions of one connection at a time. 0: as many as it wants.
        max_subscriptions: u32 = "0" in "0".."100000000";
        /// What may wait for one client before it is closed as a slow consumer.
        max_pending: ByteSize = "64MiB" in "64KiB".."1TiB";
        /// What may wait for all clients together. Beyond it those for whom most waits are closed.
        pending_memory_bytes: ByteSize = "1GiB" in "1MiB".."1TiB";
        /// Memory for messages larger than 64 KiB that are being read, over all connections. When it is used up,
        /// sockets with such messages are not read until others have come whole.
        message_memory_bytes: ByteSize = "256MiB" in "16MiB".."1TiB";
        /// How often a silent client is asked whether it is still there.
        ping_interval: Span = "2m" in "100ms".."1d";
        /// Pings that may be unanswered before the connection is closed as stale.
        ping_max: u32 = "2" in "1".."1000";
        /// A client that takes nothing of what waits for it for so long is closed.
        write_deadline: Span = "10s" in "100ms".."1h";
        /// Time to say who one is, where that is asked.
        auth_timeout: Span = "2s" in "100ms".."1h";
        /// From the news that the broker stops to the end of the last connection: they are closed one by one, so
        /// that not all clients connect elsewhere at once.
        lame_duck_duration: Span = "3s" in "0s".."1h";
        /// From the news that the broker stops to the end of the first connection.
        lame_duck_grace: Span = "500ms" in "0s".."1h";
    }

    /// The door for operators: metrics and health.
    section http: Http {
        /// Where /metrics, /healthz and /readyz answer. Port 0: the kernel picks one.
        listen: HostPort = "127.0.0.1:8080";
    }

    /// The write-ahead log: what every acknowledgement waits for.
    section wal: Wal {
        /// Size of each of its files. They are written once with zeros and reused for ever.
        file_bytes: ByteSize = "256MiB" in "1MiB".."64GiB";
        /// A checkpoint (data moves to its segment files) begins when so much waits for one. Bounds the time of
        /// a start after a crash, and the disk space of the write-ahead log.
        checkpoint_bytes: ByteSize = "1GiB" in "1MiB".."1TiB";
        /// A checkpoint begins when the oldest data that waits for one is this old.
        checkpoint_age: Span = "60s" in "1s".."1d";
    }

    /// Newest data, kept in memory for consumers that keep up.
    section tail: Tail {
        /// Memory for it, over all partitions. Older data is read from disk.
        memory_bytes: ByteSize = "256MiB" in "1MiB".."1TiB";
    }

    /// Blocks of older data, kept in memory for consumers that catch up.
    section cache: Cache {
        /// Memory for them.
        memory_bytes: ByteSize = "128MiB" in "0B".."1TiB";
    }

    /// Streams that NATS clients make.
    section streams: Streams {
        /// Memory for those with memory storage, all together. A message for which there is none left is refused;
        /// so is a stream whose `max_bytes` would reserve more.
        memory_bytes: ByteSize = "1GiB" in "0B".."1TiB";
    }

    /// Segment files.
    section storage: Storage {
        /// Segment files that readers keep open; others are opened when they are read. A checkpoint has as many
        /// again open. Where the system allows the process too few open files, fewer are in force.
        max_open_files: u32 = "512" in "16".."1000000";
        /// Bytes a second that checkpoints, compaction and retention may write, so that they don't slow down
        /// acknowledgements. 0B: without limit.
        background_bytes_per_second: ByteSize = "256MiB" in "0B".."1TiB";
    }

    /// Topics that don't say otherwise.
    section topics: Topics {
        /// Partitions of a topic that is created without a number.
        default_partitions: u32 = "1" in "1".."10000";
        /// Whether a client that asks for a topic which doesn't exist creates it by that (if the client allows it).
        auto_create: bool = "true";
    }

    /// Consumer groups.
    section groups: Groups {
        /// How long an empty group waits for more members before it hands out partitions for the first time.
        /// Longer: fewer rebalances when many members start together. 0s: no wait.
        initial_rebalance_delay: Span = "3s" in "0s".."10m";
        /// The shortest session timeout that a member may ask for.
        min_session_timeout: Span = "6s" in "1ms".."1d";
        /// The longest session timeout that a member may ask for.
        max_session_timeout: Span = "30m" in "1ms".."1d";
        /// Members of a group at a time. One more is refused.
        max_size: u32 = "2147483647" in "1".."2147483647";
    }

    /// What groups have committed.
    section offsets: Offsets {
        /// How long the commits of a group are kept after its last member left.
        retention: Span = "7d" in "1m".."3650d";
    }

    /// Log lines, on stderr.
    section log: Log {
        /// Their form.
        format: LogFormat = "text";
        /// The least severe that is written. The environment variable `RUST_LOG` goes over it, by module.
        level: LogLevel = "info";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_its_bounds_and_shown_as_it_is_written() {
        let mut config = Config::default();
        for key in KEYS {
            let outcome = (key.set)(&mut config, key.default);
            assert_eq!(outcome, Ok(()), "{}", key.name);
            assert!(!key.doc.is_empty(), "{}", key.name);
        }
        assert_eq!(config, Config::default());
        for key in KEYS {
            let shown = (key.show)(&config);
            assert_eq!((key.set)(&mut config, &shown), Ok(()), "{} is shown as {shown}", key.name);
        }
        assert_eq!(config, Config::default());
    }

    #[test]
    fn a_value_outside_its_bounds_is_refused() {
        let key = KEYS.iter().find(|key| key.name == "wal.file_bytes").unwrap();
        assert_eq!(
            (key.set)(&mut Config::default(), "1KiB"),
            Err("`1KiB` is not between 1MiB and 64GiB".to_owned())
        );
    }
}
