//! A registration at an authorization server, in words that every backend shares.
//!
//! RFC 7591 calls these things clients; UiPath calls them external applications. The types here carry what both
//! have: an identifier, a name, redirect URIs, scopes, and the credentials that the application authenticates with.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

mod settings;

pub use settings::{BY_SECRET, PRIVATE_KEY_JWT, Setting, SettingValue, Settings};

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $canonical:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn new(value: impl Into<String>) -> Self {
                Self($canonical(value.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(value: String) -> Self {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier! {
    /// The `client_id` of a registration (RFC 6749 section 2.2): unique at its server, not a secret. A GUID is kept in
    /// small letters: servers take it in any, and one registration must not look like two.
    ClientId, guid_in_small_letters
}
identifier! {
    /// The server's name for one secret of a registration: tells secrets apart without showing them.
    SecretId, std::convert::identity
}

identifier! {
    /// An application's identity in the directory of its organization: whom roles are given to. It is not the client id,
    /// although the two may be equal.
    PrincipalId, guid_in_small_letters
}

fn guid_in_small_letters(mut value: String) -> String {
    if value.len() == 36 && uuid::Uuid::try_parse(&value).is_ok() {
        value.make_ascii_lowercase();
    }
    value
}

/// A generated client secret. It cannot be printed, serialised or copied by accident.
pub struct ClientSecret(SecretString);

impl ClientSecret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The secret itself: for the body of a token request and for the data of a Secret, nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(redacted)")
    }
}

/// Who a scope lets the application act for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grant {
    /// For a signed-in person: authorization code.
    User,
    /// For itself: client credentials.
    Application,
}

/// One scope of a registration. The name alone is no key: the same name may be granted for both types.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    pub name: String,
    pub grant: Grant,
}

/// Whether an application can keep a secret (RFC 6749 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientType {
    Confidential,
    /// Public in the words of RFC 6749: never has a secret.
    NonConfidential,
}

/// What a registration shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    pub display_name: String,
    pub client_type: ClientType,
    pub redirect_uris: BTreeSet<String>,
    pub scopes: BTreeSet<Scope>,
    /// What is set beyond that. A setting that is not named here is left as the server has it.
    pub settings: Settings,
    /// The application that the registration is for.
    pub owner: Owner,
    /// Whether a confidential one has no client secret: it authenticates in another way.
    pub secretless: bool,
}

impl Desired {
    /// Whether it authenticates by assertions that it signs with a key of its own (RFC 7523).
    pub fn signs(&self) -> bool {
        let method = self.settings.get(&Setting::TokenEndpointAuthMethod);
        matches!(method, Some(SettingValue::Text(method)) if method == PRIVATE_KEY_JWT)
    }
}

/// The application that a registration is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// `metadata.uid`: tells it from an earlier or another one of the same name.
    pub uid: String,
    pub namespace: String,
    pub name: String,
}

/// Whose registration this is, as the registration itself says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// The server has no place for it.
    #[default]
    Unsupported,
    /// There is a place for it, and nothing of ours in it.
    Absent,
    /// The UID of an application.
    Uid(String),
}

impl Mark {
    /// Whether the registration says that it is this application's.
    pub fn names(&self, uid: &str) -> bool {
        matches!(self, Self::Uid(marked) if marked == uid)
    }
}

/// What a registration is, as the server's own read of it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    pub client_id: ClientId,
    pub display_name: String,
    pub client_type: ClientType,
    pub redirect_uris: BTreeSet<String>,
    pub scopes: BTreeSet<Scope>,
    /// Every secret that the server holds for it.
    pub secrets: Vec<SecretInfo>,
    /// Where the server keeps one set of scopes, and says by grant types (RFC 7591 section 2) what they may be used for:
    /// then `scopes` has each name with both grants, and the grants there say nothing.
    pub grant_types: Option<BTreeSet<String>>,
    /// What the server tells of the settings that it has.
    pub settings: Settings,
    pub owner: Mark,
}

/// One row of the server's list of registrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub client_id: ClientId,
    pub display_name: String,
    pub client_type: ClientType,
    pub redirect_uris: BTreeSet<String>,
    pub owner: Mark,
    /// Where a list tells as much as a read.
    pub whole: Option<Box<Registered>>,
}

/// A secret as the server lists it.
#[derive(Clone, Debug)]
pub struct SecretInfo {
    pub id: SecretId,
    pub description: Option<String>,
    pub created_at: Option<Timestamp>,
    /// Absent: it never expires.
    pub expires_at: Option<Timestamp>,
    /// The secret itself, where the server shows it again or the operator keeps it.
    pub value: Option<Arc<ClientSecret>>,
}

impl PartialEq for SecretInfo {
    fn eq(&self, other: &Self) -> bool {
        let value = |info: &Self| info.value.as_ref().map(|secret| secret.expose().to_owned());
        self.id == other.id
            && self.description == other.description
            && self.created_at == other.created_at
            && self.expires_at == other.expires_at
            && value(self) == value(other)
    }
}

impl Eq for SecretInfo {}

/// A secret at the one moment in which the server shows it.
#[derive(Debug)]
pub struct Credential {
    /// Absent where the server's answer does not name it; a later read does.
    pub id: Option<SecretId>,
    pub secret: ClientSecret,
    pub created_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// Whether it took the place of those before it, which are no longer valid.
    pub replaces: bool,
}

/// The answer to a successful create.
#[derive(Debug)]
pub struct Created {
    pub registered: Registered,
    /// Present for a confidential application.
    pub credential: Option<Credential>,
}

/// Where an application finds its authorization server (RFC 8414, OpenID Connect Discovery).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    pub issuer: String,
    pub token_endpoint: String,
    pub authorization_endpoint: Option<String>,
    pub jwks_uri: Option<String>,
}

/// Everything that may be asked for at a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    pub resources: Vec<Resource>,
}

/// One API and its scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// For example `UiPath.Orchestrator`.
    pub name: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub scopes: Vec<CatalogueScope>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueScope {
    pub name: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
    /// The types of scope that it may be granted as; never empty.
    pub grants: BTreeSet<Grant>,
}

impl Registered {
    /// What it would take to make this registration again.
    pub fn as_desired(&self) -> Desired {
        Desired {
            display_name: self.display_name.clone(),
            client_type: self.client_type,
            redirect_uris: self.redirect_uris.clone(),
            scopes: self.scopes.clone(),
            settings: self.settings.clone(),
            owner: Owner::default(),
            secretless: false,
        }
    }

    /// What a list would say of it.
    pub fn as_listed(&self) -> Listed {
        Listed {
            client_id: self.client_id.clone(),
            display_name: self.display_name.clone(),
            client_type: self.client_type,
            redirect_uris: self.redirect_uris.clone(),
            owner: self.owner.clone(),
            whole: None,
        }
    }

    /// The same, with all that this read tells: for a server whose list is as good as a read.
    pub fn into_listed(self) -> Listed {
        Listed { whole: Some(Box::new(self.clone())), ..self.as_listed() }
    }
}

/// Each name with both grants: how the one set of scopes is told of a server that keeps no more than that.
pub fn both_grants<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<Scope> {
    let with = |name: &str, grant| Scope { name: name.to_owned(), grant };
    names.into_iter().flat_map(|name| [with(name, Grant::User), with(name, Grant::Application)]).collect()
}
