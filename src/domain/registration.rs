//! A registration at an authorization server, in words that every backend shares.
//!
//! RFC 7591 calls these things clients; UiPath calls them external applications. The types here carry what both
//! have: an identifier, a name, redirect URIs, scopes, and the credentials that the application authenticates with.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

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
}

/// What a registration is, as the server's own read of it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    pub client_id: ClientId,
    pub display_name: String,
    pub client_type: ClientType,
    pub redirect_uris: BTreeSet<String>,
    pub scopes: BTreeSet<Scope>,
    /// Every secret that the server holds for it, without the values.
    pub secrets: Vec<SecretInfo>,
}

/// One row of the server's list of registrations: all that a list tells, which is less than a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub client_id: ClientId,
    pub display_name: String,
    pub client_type: ClientType,
    pub redirect_uris: BTreeSet<String>,
}

/// A secret as the server lists it: never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    pub id: SecretId,
    pub description: Option<String>,
    pub created_at: Option<Timestamp>,
    /// Absent: it never expires.
    pub expires_at: Option<Timestamp>,
}

/// A secret at the one moment in which the server shows it.
#[derive(Debug)]
pub struct Credential {
    /// Absent where the server's answer does not name it; a later read does.
    pub id: Option<SecretId>,
    pub secret: ClientSecret,
    pub created_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
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
        }
    }

    /// What a list would say of it.
    pub fn as_listed(&self) -> Listed {
        Listed {
            client_id: self.client_id.clone(),
            display_name: self.display_name.clone(),
            client_type: self.client_type,
            redirect_uris: self.redirect_uris.clone(),
        }
    }
}
