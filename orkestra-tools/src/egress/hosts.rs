//! The hosts that people allow, by name and port.

use serde::{Deserialize, Serialize};

use super::EgressError;
use super::address::Trust;

/// The port of HTTPS; on it a tunnel must carry TLS with the same name.
pub(super) const HTTPS: u16 = 443;

/// A host that the sandbox may reach through a tunnel.
///
/// ```
/// use orkestra_tools::egress::AllowedHost;
///
/// let host = AllowedHost::new("api.example.com")?;
/// assert!(host.matches("API.example.com.", 443) && !host.matches("api.example.com", 22));
/// assert!(AllowedHost::new("*.example.com")?.matches("a.b.example.com", 443));
/// assert!(AllowedHost::new("https://example.com/x").is_err());
/// # Ok::<(), orkestra_tools::egress::EgressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedHost {
    /// Lower case, without a final dot; after `*.` all names below it.
    name: String,
    port: u16,
    is_operators: bool,
}

impl AllowedHost {
    /// A host that a person allowed for a run or a project: `example.com`, `example.com:8443` or `*.example.com`. It must
    /// resolve to global addresses. Without a port it is 443, where only TLS with that name passes.
    ///
    /// # Errors
    /// When it is not a host name, or is an IP address, which has no name to check.
    pub fn new(host: &str) -> Result<Self, EgressError> {
        let invalid = |reason: &str| EgressError::Host {
            host: host.chars().filter(|c| !c.is_control()).take(100).collect(),
            reason: reason.to_owned(),
        };
        let (name, port) = match host.trim().rsplit_once(':') {
            Some((name, port)) => {
                (name, port.parse().map_err(|_| invalid("give a host such as example.com or example.com:8443"))?)
            }
            None => (host.trim(), HTTPS),
        };
        let name = normal(name);
        let bare = name.strip_prefix("*.").unwrap_or(&name);
        if !is_name(bare) || port == 0 {
            return Err(invalid("give the name of a host, such as example.com, without https:// and path"));
        }
        if bare.parse::<std::net::IpAddr>().is_ok() || bare.split('.').next_back().is_some_and(is_number) {
            return Err(invalid("it is an IP address; give a name, which can be checked"));
        }
        if name.starts_with("*.") && !bare.contains('.') {
            return Err(invalid("it would allow a whole top-level domain; name the domain, such as *.example.com"));
        }
        Ok(Self { name, port, is_operators: false })
    }

    /// Marks it as part of the operator's own configuration: it may also have private addresses, but never a loopback,
    /// link-local or metadata one, nor one of this host.
    #[must_use]
    pub fn of_operator(mut self) -> Self {
        self.is_operators = true;
        self
    }

    /// Whether a destination is this host.
    #[must_use]
    pub fn matches(&self, host: &str, port: u16) -> bool {
        let host = normal(host);
        let is_name = match self.name.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => host == self.name,
        };
        is_name && port == self.port
    }

    pub(super) fn trust(&self) -> Trust {
        if self.is_operators { Trust::Operator } else { Trust::Person }
    }
}

/// Lower case, without the final dot.
pub(super) fn normal(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Whether it can be the name of a host.
pub(super) fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let is_plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        !label.is_empty() && label.len() <= 63 && is_plain
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

/// A name whose last label is a number is an IPv4 address in some form (`0x7f.1`, `2130706433`).
fn is_number(label: &str) -> bool {
    let digits = label.strip_prefix("0x").unwrap_or(label);
    let is_hex = digits.len() < label.len();
    !label.is_empty()
        && digits.bytes().all(|byte| if is_hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_with_ports() {
        for (text, valid) in [
            ("example.com", true),
            ("Example.COM.", true),
            ("example.com:8443", true),
            ("*.example.com", true),
            ("xn--bcher-kva.example", true),
            ("intranet", true),
            ("*", false),
            ("*.com", false),
            ("a.*.com", false),
            ("", false),
            ("example.com:0", false),
            ("example.com:http", false),
            ("example.com/x", false),
            ("exa mple.com", false),
            ("a..b", false),
            ("user@example.com", false),
            ("127.0.0.1", false),
            ("2130706433", false),
            ("0x7f.0x1", false),
            ("127.1", false),
            ("[::1]", false),
            ("[::1]:443", false),
            ("bücher.example", false),
            ("example.com\r\nHost: x", false),
        ] {
            assert_eq!(AllowedHost::new(text).is_ok(), valid, "{text}");
        }
        let below = AllowedHost::new("*.example.com").expect("valid");
        for (host, expected) in
            [("example.com", false), (".example.com", false), ("x.example.com", true), ("xexample.com", false)]
        {
            assert_eq!(below.matches(host, 443), expected, "{host}");
        }
    }
}
