//! Listeners: names, addresses and security protocols, as Kafka's `listeners` family of keys spells them.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use super::error::ConfigError;

/// How a listener's connections are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecurityProtocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl SecurityProtocol {
    pub const ALL: [Self; 4] = [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl];

    /// Kafka's name of the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// Kafka's id of the protocol.
    pub fn id(self) -> i16 {
        match self {
            Self::Plaintext => 0,
            Self::Ssl => 1,
            Self::SaslPlaintext => 2,
            Self::SaslSsl => 3,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }
}

/// One entry of `listeners` or `advertised.listeners`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// In upper case: names are the same in any case.
    pub name: String,
    /// Without brackets; `None` is every interface, or, advertised, the address a client reached us by.
    pub host: Option<String>,
    /// 0 lets the system choose.
    pub port: u16,
    pub protocol: SecurityProtocol,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_deref() {
            Some(host) if host.contains(':') => write!(f, "{}://[{host}]:{}", self.name, self.port),
            host => write!(f, "{}://{}:{}", self.name, host.unwrap_or_default(), self.port),
        }
    }
}

/// Which protocol each listener name speaks, names in upper case.
pub type ProtocolMap = BTreeMap<String, SecurityProtocol>;

/// Reads `listener.security.protocol.map`: `name:protocol` entries, names and protocols in any case.
pub fn parse_protocol_map(text: &str) -> Result<ProtocolMap, ConfigError> {
    const KEY: &str = "listener.security.protocol.map";
    let mut map = ProtocolMap::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, protocol) = entry.rsplit_once(':').ok_or_else(|| {
            let message = format!("Error parsing configuration property '{KEY}': {entry} is not name:protocol");
            ConfigError::new(KEY, text, message)
        })?;
        let known = SecurityProtocol::parse(protocol.trim()).ok_or_else(|| {
            let message = format!("Invalid security protocol `{}` defined in {KEY}", protocol.trim());
            let valid = SecurityProtocol::ALL.map(SecurityProtocol::name).join(", ");
            ConfigError::new(KEY, text, message).valid(&valid)
        })?;
        map.insert(name.trim().to_uppercase(), known);
    }
    Ok(map)
}

/// Reads a list of listeners; entries left empty by a trailing comma are skipped.
///
/// Refused, in Kafka's words: text that is no endpoint, a name without protocol, two listeners of one name, two on one
/// port unless it is 0 or one is IPv4 and the other IPv6.
pub fn parse_listeners(key: &str, text: &str, protocols: &ProtocolMap) -> Result<Vec<Listener>, ConfigError> {
    let mut listeners = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let listener = parse_one(entry, protocols).map_err(|reason| {
            let message = format!("Error creating broker listeners from '{}': {reason}", bracketed(text));
            ConfigError::new(key, text, message).valid(&"NAME://host:port entries")
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The rules between the entries of `listeners`; `advertised` relaxes those about ports.
pub fn check_distinct(key: &str, text: &str, listeners: &[Listener], advertised: bool) -> Result<(), ConfigError> {
    let refuse = |message: String| Err(ConfigError::requirement(key, text, message));
    for (at, one) in listeners.iter().enumerate() {
        for other in &listeners[..at] {
            if one.name == other.name {
                return refuse(format!("Each listener must have a different name, listeners: {}", bracketed(text)));
            }
            if advertised || one.port == 0 || one.port != other.port {
                continue;
            }
            let literals = (family(one), family(other));
            let (Some(first), Some(second)) = literals else {
                return refuse(format!("Each listener must have a different port, listeners: {}", bracketed(text)));
            };
            if first == second {
                return refuse(format!(
                    "If you have two listeners on the same port then one needs to be IPv4 and the other IPv6, \
                     listeners: {}, port: {}",
                    bracketed(text),
                    one.port
                ));
            }
        }
    }
    Ok(())
}

fn parse_one(entry: &str, protocols: &ProtocolMap) -> Result<Listener, String> {
    let unreadable = || format!("Unable to parse {entry} to a broker endpoint");
    let (name, address) = entry.split_once("://").ok_or_else(unreadable)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(unreadable)?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    if !host.chars().all(|c| c.is_ascii_alphanumeric() || "-%._:".contains(c)) {
        return Err(unreadable());
    }
    let port = port.parse().map_err(|_| unreadable())?;
    let name = name.to_uppercase();
    let protocol = *protocols.get(&name).ok_or_else(|| format!("No security protocol defined for listener {name}"))?;
    Ok(Listener { name, host: (!host.is_empty()).then(|| host.to_owned()), port, protocol })
}

/// Whether a host is an IPv6 (true) or IPv4 (false) literal; `None` for names and for all interfaces.
fn family(listener: &Listener) -> Option<bool> {
    let host = listener.host.as_deref()?;
    let address: std::net::IpAddr = host.split('%').next()?.parse().ok()?;
    Some(address.is_ipv6())
}

/// A list as Kafka prints it in messages.
fn bracketed(text: &str) -> String {
    let entries: Vec<&str> = text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
    format!("[{}]", entries.join(", "))
}
