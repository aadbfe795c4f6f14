//! Each fault at each thing that is asked of a server, and the reason that has to be shown for it.

use serde_json::{Value, json};

/// What is asked of the server while it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Create,
    /// A new secret for one that was lost.
    Secret,
    Update,
    Delete,
    /// A registration, or the list of all, by the pass over an application.
    Look,
    /// The same by the server's own pass.
    Sweep,
    Catalogue,
    /// The operator's own token.
    Token,
}

impl At {
    /// The requests that the fault happens to.
    fn requests(self) -> Value {
        let (method, path) = match self {
            Self::Create => ("POST", "/api/ExternalClient"),
            Self::Secret => ("POST", "/GenerateSecret"),
            Self::Update => ("PUT", "/api/ExternalClient/"),
            Self::Delete => ("DELETE", "/api/ExternalClient/"),
            Self::Look | Self::Sweep => ("GET", "/api/ExternalClient/"),
            Self::Catalogue => ("GET", "/api/ExternalApiResource"),
            Self::Token => ("POST", "/connect/token"),
        };
        json!({"method": method, "path_contains": path})
    }

    /// Whether the server's own pass meets the fault by itself, again and again.
    pub fn is_swept(self) -> bool {
        matches!(self, Self::Sweep | Self::Catalogue)
    }
}

pub struct Fault {
    pub name: &'static str,
    action: &'static str,
    /// What is said at each of [`At`].
    says: [&'static str; 8],
}

/// How often a fault happens unless it is lifted: more than any sane client asks.
const TIMES: u64 = 100_000;

impl Fault {
    pub fn is_down(&self) -> bool {
        self.action == "down"
    }

    /// Whether the answer is right, only late.
    pub fn is_slow(&self) -> bool {
        self.action.starts_with("delay")
    }

    /// Whether what is asked is done all the same, so that the next look finds it as it should be.
    pub fn is_done_all_the_same(&self, at: At) -> bool {
        self.action == "truncate" && at == At::Update
    }

    pub fn says(&self, at: At) -> &'static str {
        self.says[at as usize]
    }

    /// The order for the local cloud.
    pub fn order(&self, at: At) -> Value {
        let (action, seconds) = self.action.split_once(", ").unwrap_or((self.action, ""));
        let retry_after: Option<u64> = seconds.parse().ok();
        json!({"match": at.requests(), "times": TIMES, "action": action, "retry_after": retry_after})
    }

    /// How often it has happened, by what is left of its order.
    pub fn hits(left: &Value) -> u64 {
        left.as_array().into_iter().flatten().map(|order| TIMES - order["times"].as_u64().unwrap_or(0)).sum()
    }
}

pub const READY: &str = "Ready";
/// What is asked to go is gone already.
pub const GONE: &str = "Gone";
const LIMITED: &str = "RateLimited";

const UNREACHABLE: &str = "ServerUnreachable";
const SILENT: &str = "ServerTimeout";
const REFUSED: &str = "CredentialsRefused";
const DENIED: &str = "PermissionDenied";
const REJECTED: &str = "RejectedByServer";
const MISSING: &str = "RegistrationMissing";
const CONFLICT: &str = "ServerConflict";
const FAILED: &str = "ServerFailed";
const UNKNOWN: &str = "OutcomeUnknown";
const STRANGE: &str = "UnexpectedAnswer";

/// Whether those who are served already are told of what the server's own pass has met.
pub fn concerns_everybody(reason: &str) -> bool {
    [UNREACHABLE, SILENT, REFUSED].contains(&reason)
}

#[rustfmt::skip]
pub const TABLE: [Fault; 14] = [
    // Create, Secret, Update, Delete, Look, Sweep, Catalogue, Token
    Fault { name: "down",      action: "down",          says: [UNREACHABLE; 8] },
    Fault { name: "slow",      action: "delay:400",     says: [READY; 8] },
    Fault { name: "silent",    action: "hang",          says: [UNKNOWN, UNKNOWN, SILENT, SILENT, SILENT, SILENT, SILENT, SILENT] },
    Fault { name: "refused",   action: "status:401",    says: [REFUSED; 8] },
    Fault { name: "denied",    action: "status:403",    says: [DENIED; 8] },
    Fault { name: "absent",    action: "status:404",    says: [REJECTED, MISSING, MISSING, GONE, STRANGE, STRANGE, STRANGE, STRANGE] },
    Fault { name: "conflict",  action: "status:409",    says: [CONFLICT; 8] },
    // The server's own pass can wait: a server that limits requests is well.
    Fault { name: "limited",   action: "status:429",    says: [LIMITED, LIMITED, LIMITED, LIMITED, LIMITED, READY, READY, LIMITED] },
    Fault { name: "counted",   action: "status:429, 2", says: [LIMITED, LIMITED, LIMITED, LIMITED, LIMITED, READY, READY, LIMITED] },
    Fault { name: "broken",    action: "status:500",    says: [UNKNOWN, UNKNOWN, FAILED, FAILED, FAILED, FAILED, FAILED, FAILED] },
    Fault { name: "busy",      action: "status:503",    says: [UNKNOWN, UNKNOWN, FAILED, FAILED, FAILED, FAILED, FAILED, FAILED] },
    Fault { name: "page",      action: "html",          says: [UNKNOWN, UNKNOWN, STRANGE, STRANGE, STRANGE, STRANGE, STRANGE, STRANGE] },
    // The answer to a deletion is empty: there is nothing to cut.
    Fault { name: "truncated", action: "truncate",      says: [UNKNOWN, UNKNOWN, SILENT, READY, SILENT, SILENT, SILENT, SILENT] },
    Fault { name: "large",     action: "big:10000000",  says: [UNKNOWN, UNKNOWN, STRANGE, STRANGE, STRANGE, STRANGE, STRANGE, STRANGE] },
];
