//! How pip, uv, npm, cargo, apt and everything that knows proxies find the proxy from inside a container: variables, and a few
//! files in the directory that is mounted with the socket. No secret is among them.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use super::registry::{Ecosystem, Registry};

/// The port of the forwarder on the container's loopback: what proxies usually have, which dev servers do not.
pub(super) const PORT: u16 = 3128;
/// The proxy as clients in the container see it.
pub(super) const LOCAL: &str = "http://127.0.0.1:3128";

/// Where the directory with the socket is mounted.
pub(crate) const CONFIG_DIRECTORY: &str = "/run/orkestra";
/// Where cargo looks for configuration above every directory.
pub(crate) const CARGO_DIRECTORY: &str = "/.cargo";
/// The socket in the directory.
pub(super) const SOCKET: &str = "proxy.sock";

const FORWARDER: &str = include_str!("forwarder.py");

/// Loopback and the container's own name need no proxy.
const NO_PROXY: &str = "localhost,127.0.0.1,0.0.0.0,::1,sandbox";

/// The command of the forwarder, which needs Python in the image.
pub(crate) fn forwarder() -> Vec<String> {
    let socket = format!("{CONFIG_DIRECTORY}/{SOCKET}");
    let words = ["python3", "-I", "-S", "-u", "-c", FORWARDER, &socket, &PORT.to_string()];
    words.map(str::to_owned).into()
}

/// A registry's place on the proxy: `pip`, and `pip-1` for a second one.
pub(super) fn prefixes(registries: &[Registry]) -> Vec<String> {
    let before = |index: usize| {
        let same = registries[..index].iter().filter(|other| other.ecosystem == registries[index].ecosystem);
        same.count()
    };
    let prefix = |index: usize| match (registries[index].ecosystem.name(), before(index)) {
        (name, 0) => name.to_owned(),
        (name, number) => format!("{name}-{number}"),
    };
    (0..registries.len()).map(prefix).collect()
}

/// The variables of a container with the network `registries`.
pub(crate) fn environment(registries: &[Registry]) -> Vec<(String, String)> {
    let mut found = proxies(LOCAL);
    let indexes = of(registries, Ecosystem::Pip).map(|(_, prefix)| format!("{LOCAL}/{prefix}/simple/"));
    let indexes: Vec<String> = indexes.collect();
    let mut set = |name: &str, value: String| found.push((name.to_owned(), value));
    if let Some((main, others)) = indexes.split_first() {
        set("PIP_INDEX_URL", main.clone());
        set("UV_DEFAULT_INDEX", main.clone());
        if !others.is_empty() {
            set("PIP_EXTRA_INDEX_URL", others.join(" "));
            set("UV_INDEX", others.join(" "));
        }
    }
    set("npm_config_globalconfig", format!("{CONFIG_DIRECTORY}/npmrc"));
    set("APT_CONFIG", format!("{CONFIG_DIRECTORY}/apt.conf"));
    // The proxy keeps what clients would keep in scratch space, which is memory. Compiling takes longer than installing, and
    // what is used is compiled when it is first imported.
    set("PIP_NO_CACHE_DIR", "1".to_owned());
    set("PIP_COMPILE", "0".to_owned());
    set("PIP_PROGRESS_BAR", "off".to_owned());
    set("UV_LINK_MODE", "copy".to_owned());
    // Node's own fetch asks for this before it uses a proxy.
    set("NODE_USE_ENV_PROXY", "1".to_owned());
    found
}

/// The variables of a container without a network: clients fail at once, and name the reason.
pub(crate) fn no_network_environment() -> Vec<(String, String)> {
    let mut found = proxies("http://this-sandbox-has-no-network.invalid:3128");
    for (name, value) in
        [("PIP_RETRIES", "1"), ("npm_config_fetch_retries", "0"), ("UV_HTTP_RETRIES", "0"), ("UV_OFFLINE", "1")]
    {
        found.push((name.to_owned(), value.to_owned()));
    }
    found
}

fn proxies(address: &str) -> Vec<(String, String)> {
    let named = |names: [&str; 2], value: &str| names.map(|name| (name.to_owned(), value.to_owned()));
    [
        named(["HTTP_PROXY", "http_proxy"], address),
        named(["HTTPS_PROXY", "https_proxy"], address),
        named(["NO_PROXY", "no_proxy"], NO_PROXY),
    ]
    .concat()
}

fn of(registries: &[Registry], ecosystem: Ecosystem) -> impl Iterator<Item = (&Registry, String)> {
    registries.iter().zip(prefixes(registries)).filter(move |(registry, _)| registry.ecosystem == ecosystem)
}

/// Writes the files of clients that variables do not reach.
pub(super) fn write_files(directory: &Path, registries: &[Registry]) -> io::Result<()> {
    fs::write(directory.join("npmrc"), npmrc(registries))?;
    fs::write(directory.join("apt.conf"), apt_conf())?;
    fs::write(directory.join("sources.list"), sources_list(registries))?;
    let cargo = directory.join("cargo");
    fs::create_dir_all(&cargo)?;
    fs::write(cargo.join("config.toml"), cargo_config(registries))
}

/// What a lock file names as the source of a package is left out, because it would be the proxy.
fn npmrc(registries: &[Registry]) -> String {
    let mut text = "audit=false\nfund=false\nupdate-notifier=false\nomit-lockfile-registry-resolved=true\n".to_owned();
    for (registry, prefix) in of(registries, Ecosystem::Npm) {
        let scope = registry.scope.as_ref().map_or_else(String::new, |scope| format!("{scope}:"));
        let _ = writeln!(text, "{scope}registry={LOCAL}/{prefix}/");
    }
    text
}

fn cargo_config(registries: &[Registry]) -> String {
    let Some((_, prefix)) = of(registries, Ecosystem::Cargo).next() else { return String::new() };
    format!(
        "[source.crates-io]\nreplace-with = \"sandbox\"\n\n[source.sandbox]\nregistry = \"sparse+{LOCAL}/{prefix}/index/\"\n\n\
         [net]\nretry = 1\n"
    )
}

/// apt keeps its state in directories of root's; an ordinary user downloads packages with it, and cannot install them.
fn apt_conf() -> String {
    format!(
        "Dir::Etc::sourcelist \"{CONFIG_DIRECTORY}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
         Dir::State \"/tmp/apt/\";\nDir::Cache \"/tmp/apt/\";\nDir::Log \"/tmp/apt/\";\n\
         APT::Sandbox::User \"\";\nDebug::NoLocking \"true\";\nAcquire::Languages \"none\";\n\
         Acquire::http::Proxy::127.0.0.1 \"DIRECT\";\n"
    )
}

fn sources_list(registries: &[Registry]) -> String {
    let mut text = String::new();
    for (registry, prefix) in of(registries, Ecosystem::Apt) {
        for suite in &registry.suites {
            let _ = writeln!(text, "deb {LOCAL}/{prefix}/ {suite} main");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_pointed_at_the_proxy_without_any_secret() {
        let registry = |ecosystem, address: &str| Registry::new(ecosystem, address).expect("valid");
        let registries = [
            registry(Ecosystem::Pip, "https://u:secret@a.test/simple"),
            registry(Ecosystem::Pip, "https://b.test/simple"),
            registry(Ecosystem::Npm, "https://u:secret@c.test/"),
            registry(Ecosystem::Npm, "https://d.test/").with_scope("@company"),
            registry(Ecosystem::Cargo, "sparse+https://e.test/index/"),
            registry(Ecosystem::Apt, "https://f.test/debian").with_suites(["bookworm"]),
        ];
        let directory = tempfile::tempdir().expect("a directory");
        write_files(directory.path(), &registries).expect("written");
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).expect("readable");
        let variables = environment(&registries);
        let all = format!("{variables:?}{}{}{}", read("npmrc"), read("cargo/config.toml"), read("sources.list"));
        for expected in [
            "(\"PIP_INDEX_URL\", \"http://127.0.0.1:3128/pip/simple/\")",
            "(\"PIP_EXTRA_INDEX_URL\", \"http://127.0.0.1:3128/pip-1/simple/\")",
            "\nregistry=http://127.0.0.1:3128/npm/\n@company:registry=http://127.0.0.1:3128/npm-1/\n",
            "registry = \"sparse+http://127.0.0.1:3128/cargo/index/\"",
            "deb http://127.0.0.1:3128/apt/ bookworm main\n",
        ] {
            assert!(all.contains(expected), "{expected} in {all}");
        }
        assert!(!all.contains("secret") && !all.contains(".test"), "{all}");
        assert_eq!(LOCAL, format!("http://127.0.0.1:{PORT}"));
    }
}
