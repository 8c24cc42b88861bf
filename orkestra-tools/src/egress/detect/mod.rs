//! Finds the registries that a machine's pip, uv, npm, cargo and apt are configured to use, from the files and variables that
//! the embedder names. It reads nothing else: no environment, no file of its own choice.
//!
//! What it cannot use becomes a problem to report, and the public registry takes its place.

mod apt;
mod cargo;
mod npm;
mod pip;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::registry::{Ecosystem, Registry};
use super::{EgressError, EgressOptions};
use crate::limits::EGRESS_SETTINGS_BYTES_MAX;

/// Where the clients' settings are. Files are in rising order of precedence; missing ones are ignored.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ClientSettings {
    /// `pip.conf` files.
    pub pip: Vec<PathBuf>,
    /// `.npmrc` files.
    pub npm: Vec<PathBuf>,
    /// cargo's `config.toml` and `credentials.toml` files.
    pub cargo: Vec<PathBuf>,
    /// apt's `.list` and `.sources` files.
    pub apt: Vec<PathBuf>,
    /// The variables of the environment, of which those of the clients (`PIP_INDEX_URL`, `npm_config_registry`, `HTTPS_PROXY`, …)
    /// are used.
    pub variables: BTreeMap<String, String>,
}

impl ClientSettings {
    /// The usual places on Unix, below this home directory and in `/etc`, with these variables.
    #[must_use]
    pub fn usual(home: &Path, variables: BTreeMap<String, String>) -> Self {
        let named = |name: &str| variables.get(name).map(PathBuf::from);
        let mut pip: Vec<PathBuf> =
            vec!["/etc/pip.conf".into(), home.join(".pip/pip.conf"), home.join(".config/pip/pip.conf")];
        pip.extend(named("PIP_CONFIG_FILE"));
        let mut npm: Vec<PathBuf> = vec!["/etc/npmrc".into(), home.join(".npmrc")];
        npm.extend(named("npm_config_userconfig").or_else(|| named("NPM_CONFIG_USERCONFIG")));
        let cargo_home = named("CARGO_HOME").unwrap_or_else(|| home.join(".cargo"));
        let cargo =
            ["config", "config.toml", "credentials", "credentials.toml"].map(|name| cargo_home.join(name)).into();
        let mut apt: Vec<PathBuf> = vec!["/etc/apt/sources.list".into()];
        let more =
            std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
        apt.extend(more.filter(|path| path.extension().is_some_and(|kind| kind == "list" || kind == "sources")));
        Self { pip, npm, cargo, apt, variables }
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Detected {
    /// The registries: those that are configured, and the public ones of the other ecosystems.
    pub registries: Vec<Registry>,
    /// The HTTP proxy that the clients use.
    pub proxy: Option<String>,
    /// Certificates that the clients trust besides the system's, PEM.
    pub certificates: Vec<Vec<u8>>,
    /// Settings that could not be used, each with the reason, for the operator.
    pub problems: Vec<String>,
}

impl Detected {
    /// Options of a proxy that serves this.
    #[must_use]
    pub fn into_options(self) -> EgressOptions {
        EgressOptions {
            registries: self.registries,
            proxy: self.proxy,
            certificates: self.certificates,
            ..EgressOptions::default()
        }
    }
}

/// Reads the settings.
///
/// ```
/// use std::collections::BTreeMap;
/// use orkestra_tools::egress::{ClientSettings, detect};
///
/// let mut settings = ClientSettings::default();
/// settings.variables = BTreeMap::from([("PIP_INDEX_URL".to_owned(), "https://pypi.example.com/simple".to_owned())]);
/// let found = detect(&settings);
/// assert_eq!(found.registries[0].url(), "https://pypi.example.com/simple/");
/// ```
#[must_use]
pub fn detect(settings: &ClientSettings) -> Detected {
    let mut found = Finder { settings, found: Detected::default() };
    pip::find(&mut found);
    npm::find(&mut found);
    cargo::find(&mut found);
    apt::find(&mut found);
    found.proxy();
    let mut detected = found.found;
    for public in Registry::public() {
        // A registry of one scope of npm leaves the rest to the public one, and a second archive of apt has its own suites.
        let is_served = |known: &Registry| {
            let is_same_part = known.suites.iter().any(|suite| public.suites.contains(suite));
            known.ecosystem == public.ecosystem
                && known.scope.is_none()
                && (known.ecosystem != Ecosystem::Apt || is_same_part)
        };
        if !detected.registries.iter().any(is_served) {
            detected.registries.push(public);
        }
    }
    detected
}

struct Finder<'settings> {
    settings: &'settings ClientSettings,
    found: Detected,
}

impl Finder<'_> {
    /// A variable, whatever its case is: npm's are known in both.
    fn variable(&self, name: &str) -> Option<String> {
        let variables = &self.settings.variables;
        let found = variables
            .get(name)
            .or_else(|| variables.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value));
        found.filter(|value| !value.trim().is_empty()).cloned()
    }

    /// The texts of the files that exist.
    fn texts(&mut self, paths: &[PathBuf]) -> Vec<String> {
        let mut texts = Vec::new();
        for path in paths {
            match read(path) {
                Ok(Some(text)) => texts.push(text),
                Ok(None) => {}
                Err(reason) => self.problem(format!("{} was ignored: {reason}", path.display())),
            }
        }
        texts
    }

    fn problem(&mut self, text: String) {
        tracing::debug!(problem = %text, "a setting of a package manager cannot be used");
        self.found.problems.push(text);
    }

    fn add(&mut self, registry: Result<Registry, EgressError>) {
        match registry {
            Ok(registry) => self.found.registries.push(registry),
            Err(error) => self.problem(error.to_string()),
        }
    }

    fn certificates(&mut self, path: Option<String>) {
        let Some(path) = path else { return };
        match read(Path::new(&path)) {
            Ok(Some(text)) if !self.found.certificates.contains(&text.clone().into_bytes()) => {
                self.found.certificates.push(text.into_bytes());
            }
            Ok(Some(_)) => {}
            Ok(None) => self.problem(format!("the file of certificates {path} was not found; correct the path in the configuration")),
            Err(reason) => self.problem(format!("the certificates in {path} were ignored: {reason}")),
        }
    }

    fn proxy(&mut self) {
        let names = ["HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY"];
        let named = names.into_iter().find_map(|name| self.variable(name));
        self.found.proxy = self.found.proxy.take().or(named);
    }
}

/// `None` when it does not exist.
fn read(path: &Path) -> Result<Option<String>, String> {
    let is_file = match std::fs::metadata(path) {
        Ok(metadata) => metadata.is_file(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if !is_file {
        return Err("it is not a regular file".to_owned());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(EGRESS_SETTINGS_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > EGRESS_SETTINGS_BYTES_MAX {
        return Err(format!("it is larger than {EGRESS_SETTINGS_BYTES_MAX} bytes"));
    }
    Ok(Some(text))
}

/// The value of `key = value`, without quotes around it.
fn pair(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let value = value.trim();
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
    Some((key.trim(), quoted('"').or_else(|| quoted('\'')).unwrap_or(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found with these files and variables: the registries, with `+` where there are credentials.
    fn found(files: &[(&str, &str)], variables: &[(&str, &str)]) -> (Vec<String>, Detected) {
        let root = tempfile::tempdir().expect("a directory");
        let mut settings = ClientSettings::default();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::write(&path, text).expect("written");
            let list = match name.split('.').next().expect("a name") {
                "pip" => &mut settings.pip,
                "npm" => &mut settings.npm,
                "cargo" => &mut settings.cargo,
                _ => &mut settings.apt,
            };
            list.push(path);
        }
        settings.variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = detect(&settings);
        let shown = found.registries.iter().map(|registry| {
            let mark = if registry.credentials.is_some() { "+" } else { "" };
            let scope = registry.scope.as_deref().unwrap_or_default();
            format!("{}{mark}{scope} {}", registry.ecosystem.name(), registry.url())
        });
        (shown.collect(), found)
    }

    const PUBLIC: [&str; 5] = [
        "pip https://pypi.org/simple/",
        "npm https://registry.npmjs.org/",
        "cargo https://index.crates.io/",
        "apt http://deb.debian.org/debian/",
        "apt http://deb.debian.org/debian-security/",
    ];

    #[test]
    fn without_settings_the_public_registries_are_used() {
        assert_eq!(found(&[], &[]).0, PUBLIC);
        let (shown, found) =
            found(&[("pip.conf", "[global]\ncert = /nonexistent.pem\n"), ("npm.rc", "fund=false\n")], &[]);
        assert_eq!(shown, PUBLIC);
        assert!(found.problems[0].contains("/nonexistent.pem"), "{:?}", found.problems);
    }

    #[test]
    fn every_client_can_be_configured_by_its_files() {
        let files = [
            (
                "pip.conf",
                "[global]\nindex_url = https://u:p@a.test/simple\nextra-index-url =\n  https://b.test/s\n  https://c.test/s\n",
            ),
            ("npm.1", "registry=https://wrong.test/\n; comment\n"),
            (
                "npm.2",
                "registry = \"https://d.test/npm/\"\n@x:registry=https://e.test\n//d.test/npm/:_authToken=${TOKEN}\n//e.test/:_auth=dTpw\n",
            ),
            (
                "cargo.toml",
                "[source.crates-io]\nreplace-with = 'mine'\n\n[source.mine]\nregistry = \"sparse+https://f.test/index/\" # x\n",
            ),
            ("cargo.credentials", "[registries.mine]\ntoken = \"t\"\n"),
            (
                "apt.list",
                "# deb http://no.test/debian bookworm main\ndeb [signed-by=/x y=z] http://g.test/debian bookworm main contrib\n",
            ),
            (
                "apt.sources",
                "Types: deb deb-src\nURIs: http://h.test/debian-security\nSuites: bookworm-security\nComponents: main\n\nTypes: deb\nURIs: https://node.test/x\nSuites: nodistro\nComponents: main\n",
            ),
        ];
        let (shown, found) = found(&files, &[("TOKEN", "secret")]);
        assert_eq!(
            shown,
            [
                "pip+ https://a.test/simple/",
                "pip https://b.test/s/",
                "pip https://c.test/s/",
                "npm+ https://d.test/npm/",
                "npm+@x https://e.test/",
                "cargo+ https://f.test/index/",
                "apt http://g.test/debian/",
                "apt http://h.test/debian-security/",
            ]
        );
        assert!(found.problems.is_empty(), "{:?}", found.problems);
    }

    #[test]
    fn variables_win_and_what_is_unusable_is_reported() {
        let files = [
            ("pip.conf", "[global]\nindex-url = https://a.test/simple\n"),
            (
                "cargo.toml",
                "[source.crates-io]\nreplace-with = \"git\"\n[source.git]\nregistry = \"https://github.test/index\"\n",
            ),
        ];
        let variables = [
            ("PIP_INDEX_URL", "https://b.test/simple"),
            ("NPM_CONFIG_REGISTRY", "ftp://x"),
            ("https_proxy", "http://p.test:1"),
        ];
        let (shown, found) = found(&files, &variables);
        assert_eq!(shown[..2], ["pip https://b.test/simple/", PUBLIC[1]]);
        assert_eq!(found.proxy.as_deref(), Some("http://p.test:1"));
        assert_eq!(found.problems.len(), 2, "{:?}", found.problems);
    }
}
