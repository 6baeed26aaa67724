//! Every configuration key of Apache Kafka 4.2, and what this broker makes of it.
//!
//! Owns the key table, the layered start-up configuration, the dynamic layer over it, the answers to DescribeConfigs,
//! the rules of AlterConfigs, and the generated `docs/configuration.md`. Knows no topics and no wire messages: errors
//! carry Kafka's text and error name, and the caller turns them into codes. Never reads a key's meaning from anywhere
//! but the table. Called by the process at start, and by topics and request handlers for values and descriptions.

pub mod alter;
pub mod broker;
pub mod defaults;
pub mod describe;
pub mod docs;
pub mod dynamic;
pub mod environment;
mod error;
pub mod listener;
pub mod properties;
pub mod table;
pub mod topic;
pub mod value;
mod values;

pub use alter::{AlterError, AlterOp, AlterTarget, Alteration, ErrorName};
pub use broker::{BrokerConfig, BrokerConfigBuilder, Notice};
pub use describe::{ConfigEntry, ConfigSource, ConfigSynonym};
pub use dynamic::DynamicBrokerConfig;
pub use error::ConfigError;
pub use listener::{Listener, SecurityProtocol};
pub use table::{ConfigKey, ConfigType, Scope, Support, UpdateMode};
pub use topic::{CompressionType, TimestampType, TopicConfig};
pub use value::Value;
pub use values::BrokerValues;
