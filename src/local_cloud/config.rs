//! What a stand-in is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::people::NewPerson;

/// How many entities a page of Orchestrator's has unless the configuration says otherwise.
pub const LARGEST_PAGE: u32 = 100;

/// Everything that [`super::serve`] needs to know. [`Config::new`] gives the defaults of the command line.
#[derive(Clone, Debug)]
pub struct Config {
    /// The loopback address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The SQLite file; `None` keeps everything in memory.
    pub data: Option<PathBuf>,
    /// The organization's name as it stands in URLs.
    pub organization: String,
    /// Where the administrator's credentials go, as a Kubernetes Secret manifest.
    pub credentials_out: Option<PathBuf>,
    /// Who can sign in. They are added to the ones of the data file, or change them.
    pub people: Vec<NewPerson>,
    /// How new access tokens are signed.
    pub signing_algorithm: SigningAlgorithm,
    /// Limits of the Identity management API and of Orchestrator.
    pub limits: Limits,
    /// Orchestrator's tenants beside `DefaultTenant`. A tenant that a data file has stays, named or not.
    pub tenants: Vec<String>,
    /// Which kind of deployment this plays.
    pub deployment: Deployment,
    /// How many entities a page of Orchestrator's has at most; at least 1.
    pub largest_page: u32,
    /// One JSON line for each request is appended here.
    pub access_log: Option<PathBuf>,
    /// Certificates in PEM that are trusted, beside the platform's own, where the issuers of federated credentials are
    /// looked up. Read at the start.
    pub issuer_ca: Vec<PathBuf>,
    /// Opens `POST /__faults`, for tests of clients only.
    pub faults: bool,
    /// The time source.
    pub clock: Clock,
}

impl Config {
    /// A configuration for `organization` on `listen` with everything else at its default.
    pub fn new(listen: SocketAddr, organization: impl Into<String>) -> Self {
        Self {
            listen,
            data: None,
            organization: organization.into(),
            credentials_out: None,
            people: Vec::new(),
            signing_algorithm: SigningAlgorithm::Rs256,
            limits: Limits::default(),
            tenants: Vec::new(),
            deployment: Deployment::AutomationCloud,
            largest_page: LARGEST_PAGE,
            access_log: None,
            issuer_ca: Vec::new(),
            faults: false,
            clock: Clock::system(),
        }
    }
}

/// The signature of access tokens (RFC 7518 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 and a 2048-bit key, as Automation Cloud signs.
    #[value(name = "RS256")]
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[value(name = "ES256")]
    #[serde(rename = "ES256")]
    Es256,
}

impl SigningAlgorithm {
    /// The name that RFC 7518 registers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// A kind of deployment. The two differ in where the Identity management API is and in the action that puts a principal
/// of the directory into a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Deployment {
    /// Management calls need the organization in front; `AssignDirectoryUser` works, `AssignDomainUser` does not.
    #[value(name = "AutomationCloud")]
    AutomationCloud,
    /// Management calls are answered at the host too; `AssignDomainUser` works, `AssignDirectoryUser` does not exist.
    #[value(name = "AutomationSuite")]
    AutomationSuite,
}

impl Deployment {
    /// What Orchestrator says in `api-supported-versions`.
    #[must_use]
    pub fn orchestrator_version(self) -> &'static str {
        match self {
            Self::AutomationCloud => "20.0",
            Self::AutomationSuite => "18.0",
        }
    }
}

/// Requests that are taken in one window; 0 means no limit. The first four are the Identity management API's, for the
/// whole organization.
///
/// The defaults are the ones that UiPath documents for Automation Cloud
/// (<https://docs.uipath.com/automation-cloud/Automation-cloud/latest/api-guide/api-rate-limits-for-identity-server>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `GET` requests in a window.
    pub get: u32,
    /// `POST` requests in a window.
    pub post: u32,
    /// `PUT` requests in a window, and as many `PATCH` requests.
    pub put: u32,
    /// `DELETE` requests in a window.
    pub delete: u32,
    /// Requests to Orchestrator in a window, for each tenant; the limit, if there is one, is not documented.
    pub tenant: u32,
    /// Searches of the directory through Orchestrator in a window, for each tenant.
    pub directory_search: u32,
    /// The length of a window in seconds.
    pub window_seconds: u32,
    /// Whether a 429 answer carries `Retry-After`.
    pub retry_after: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            get: 300,
            post: 24_000,
            put: 160,
            delete: 160,
            tenant: 0,
            directory_search: 300,
            window_seconds: 300,
            retry_after: true,
        }
    }
}

impl Limits {
    /// No limits at all.
    #[must_use]
    pub fn none() -> Self {
        Self { get: 0, post: 0, put: 0, delete: 0, directory_search: 0, ..Self::default() }
    }
}
