//! What must never be lost of a registration: its server shows it once, lists nothing, and takes nothing but this as proof
//! of who may read, change and delete it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use super::wire::{self, ClientAnswer, Metadata, client_uri};
use crate::domain::registration::{
    ClientId, ClientSecret, Credential, Desired, Mark, Registered, SecretId, SecretInfo,
};

/// The keys of what is kept. Credentials have keys of their own; everything else is one document.
pub const TOKEN: &str = "registration-access-token";
pub const SECRET: &str = "client-secret";
pub const DOCUMENT: &str = "registration.json";

/// How long an update may still be under way whose answer was lost.
const UNDER_WAY: SignedDuration = SignedDuration::from_secs(60);

/// One registration as we keep it.
#[derive(Clone, Debug)]
pub struct Record {
    document: Document,
    /// Absent where the server gave none: then the registration cannot be managed.
    token: Option<Arc<SecretString>>,
    secret: Option<Arc<ClientSecret>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    client_id: ClientId,
    /// The UID of the application.
    owner: String,
    /// Where it is managed (RFC 7592).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uri: Option<Url>,
    /// How many secrets the registration has had: tells them apart.
    #[serde(default)]
    secrets: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_made_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_expires_at: Option<Timestamp>,
    /// When a request was about to be sent whose answer is not here: the token may be another by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updating: Option<Timestamp>,
    /// What is known of how the server deals with tokens and secrets.
    #[serde(default)]
    habits: Habits,
    /// Whether `openid` was asked for last.
    #[serde(default)]
    openid: bool,
    /// Whether the application was to have no secret when it was last asked: then one that the server made all the same is
    /// none that counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    secretless: bool,
    metadata: Metadata,
}

/// What a server does without saying so beforehand; learnt from its answers. `None`: not seen yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Habits {
    /// Whether a read gives a new token.
    pub(super) reads_rotate: Option<bool>,
    /// Whether an update gives a new token.
    pub(super) updates_rotate: Option<bool>,
    /// Whether an update gives a new secret, or more time for the one there is.
    pub(super) updates_renew: Option<bool>,
}

/// Which request an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Read,
    Update,
}

impl Record {
    /// What a create was answered. An address that is not the issuer's own is not kept.
    pub(super) fn created(answer: ClientAnswer, desired: &Desired, issuer: &Url, now: Timestamp) -> Self {
        let document = Document {
            client_id: answer.client_id,
            owner: desired.owner.uid.clone(),
            uri: answer.uri.and_then(|uri| client_uri(&uri, issuer)),
            secrets: u32::from(answer.secret.is_some()),
            secret_made_at: answer.secret.as_ref().map(|_| answer.issued_at.unwrap_or(now)),
            secret_expires_at: answer.secret_expires_at,
            updating: None,
            habits: Habits::default(),
            openid: wire::asks_for_openid(desired),
            secretless: desired.secretless,
            metadata: answer.metadata,
        };
        Self { document, token: answer.token.map(Arc::new), secret: answer.secret.map(Arc::new) }
    }

    /// The same registration after an answer of its server.
    #[must_use]
    pub(super) fn answered(&self, answer: ClientAnswer, of: Of, issuer: &Url, now: Timestamp) -> Self {
        let mut next = self.clone();
        let document = &mut next.document;
        // A server that says nothing of it has not changed it.
        let token_changed = answer.token.as_ref().is_some_and(|token| {
            self.token.as_ref().is_none_or(|known| known.expose_secret() != token.expose_secret())
        });
        let secret_changed = answer
            .secret
            .as_ref()
            .is_some_and(|secret| self.secret.as_ref().is_none_or(|known| known.expose() != secret.expose()));
        if let Some(uri) = answer.uri.and_then(|uri| client_uri(&uri, issuer)) {
            document.uri = Some(uri);
        }
        if secret_changed {
            document.secrets += 1;
            document.secret_made_at = Some(now);
        }
        let told = answer.secret.is_some();
        let renewed = secret_changed || (told && later(answer.secret_expires_at, document.secret_expires_at));
        if told {
            document.secret_expires_at = answer.secret_expires_at;
        }
        let learnt = Some(token_changed);
        match of {
            Of::Read => {
                document.habits.reads_rotate = document.habits.reads_rotate.filter(|seen| *seen).or(learnt);
                // The token still serves, so the update has not replaced it, nor will it: it would have come through.
                let under_way = |since: &Timestamp| !token_changed && now.duration_since(*since) < UNDER_WAY;
                document.updating = document.updating.filter(under_way);
            }
            Of::Update => {
                document.habits.updates_rotate = document.habits.updates_rotate.filter(|seen| *seen).or(learnt);
                document.habits.updates_renew = Some(renewed);
                document.updating = None;
            }
        }
        document.metadata = answer.metadata;
        if token_changed {
            next.token = answer.token.map(Arc::new);
        }
        if secret_changed {
            next.secret = answer.secret.map(Arc::new);
        }
        next
    }

    /// The same, with what is asked for from now on.
    #[must_use]
    pub(super) fn asked(mut self, desired: &Desired) -> Self {
        self.document.openid = wire::asks_for_openid(desired);
        self.document.secretless = desired.secretless;
        self.document.owner.clone_from(&desired.owner.uid);
        self
    }

    /// The same, before a request whose answer may bring another token.
    #[must_use]
    pub(super) fn about_to_change(mut self, now: Timestamp) -> Self {
        self.document.updating = Some(now);
        self
    }

    /// Whether writing `self` over `before` would change anything that matters. What else a read tells is told again.
    pub(super) fn is_news(&self, before: &Self) -> bool {
        let comparable = |record: &Self| {
            let mut document = record.document.clone();
            // Where reads are left out, what was told last is all there is.
            if document.habits.reads_rotate != Some(true) {
                document.metadata = Metadata::default();
            }
            let token = record.token.as_ref().map(|token| token.expose_secret().to_owned());
            (document, token, record.secret.as_ref().map(|secret| secret.expose().to_owned()))
        };
        // That a read gives no new token is no reason to write.
        let mut same_habits = before.clone();
        if self.document.habits.reads_rotate == Some(false) {
            same_habits.document.habits.reads_rotate = Some(false);
        }
        comparable(self) != comparable(&same_habits)
    }

    pub fn client_id(&self) -> &ClientId {
        &self.document.client_id
    }

    pub(super) fn owner(&self) -> &str {
        &self.document.owner
    }

    pub(super) fn is_updating(&self) -> bool {
        self.document.updating.is_some()
    }

    pub(super) fn habits(&self) -> Habits {
        self.document.habits
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.document.metadata
    }

    /// Where the registration is managed, and with what; `None` where the server does not offer that, or only elsewhere.
    pub(super) fn access(&self) -> Option<(&Url, &SecretString)> {
        Some((self.document.uri.as_ref()?, self.token.as_deref()?))
    }

    pub(super) fn secret(&self) -> Option<&ClientSecret> {
        self.secret.as_deref()
    }

    /// Whether both are managed with the same token.
    pub(super) fn same_token(&self, other: &Self) -> bool {
        let token = |record: &Self| record.token.as_ref().map(|token| token.expose_secret().to_owned());
        token(self) == token(other)
    }

    /// Whether a sweep can read it without changing anything.
    pub(super) fn is_readable_at_will(&self) -> bool {
        self.access().is_some() && self.habits().reads_rotate != Some(true)
    }

    /// The registration in the domain's words.
    pub(super) fn registered(&self) -> Registered {
        let metadata = self.metadata();
        Registered {
            client_id: self.client_id().clone(),
            display_name: metadata.display_name(),
            client_type: metadata.client_type(),
            redirect_uris: metadata.redirect_uris(),
            scopes: metadata.scopes(self.document.openid),
            secrets: self.secret_info().into_iter().collect(),
            grant_types: Some(metadata.grant_types()),
            settings: metadata.settings(),
            owner: Mark::Uid(self.document.owner.clone()),
        }
    }

    fn secret_id(&self) -> SecretId {
        // Another registration's secrets must not have the same names.
        let digest = crate::domain::hex(&Sha256::digest(self.client_id().as_str())[..4]);
        SecretId::new(format!("{digest}-{}", self.document.secrets))
    }

    fn secret_info(&self) -> Option<SecretInfo> {
        let value = self.secret.clone().filter(|_| !self.document.secretless)?;
        Some(SecretInfo {
            id: self.secret_id(),
            description: None,
            created_at: self.document.secret_made_at,
            expires_at: self.document.secret_expires_at,
            value: Some(value),
        })
    }

    /// The secret at the moment in which it is new.
    pub(super) fn credential(&self, replaces: bool) -> Option<Credential> {
        Some(Credential {
            id: Some(self.secret_id()),
            secret: ClientSecret::new(self.secret.as_ref()?.expose()),
            created_at: self.document.secret_made_at,
            expires_at: self.document.secret_expires_at,
            replaces,
        })
    }

    /// Whether this has another secret, or the same one with another end.
    pub(super) fn has_other_secret(&self, before: &Self) -> bool {
        self.secret.is_some()
            && (self.document.secrets != before.document.secrets
                || self.document.secret_expires_at != before.document.secret_expires_at)
    }

    /// What a Secret holds of it.
    pub fn to_data(&self) -> BTreeMap<&'static str, SecretString> {
        // Plain values of our own: they can be written.
        let document = serde_json::to_string(&self.document).unwrap_or_default();
        let mut data = BTreeMap::from([(DOCUMENT, SecretString::from(document))]);
        data.extend(self.token.as_ref().map(|token| (TOKEN, SecretString::from(token.expose_secret()))));
        data.extend(self.secret.as_ref().map(|secret| (SECRET, SecretString::from(secret.expose()))));
        data
    }

    /// `None` where it is not one of ours.
    pub fn from_data(data: &BTreeMap<String, SecretString>) -> Option<Self> {
        let text =
            |key: &str| data.get(key).map(|value| value.expose_secret().to_owned()).filter(|text| !text.is_empty());
        let document: Document = serde_json::from_str(&text(DOCUMENT)?).ok()?;
        let token = text(TOKEN).map(|token| Arc::new(SecretString::from(token)));
        Some(Self { document, token, secret: text(SECRET).map(|secret| Arc::new(ClientSecret::new(secret))) })
    }
}

fn later(new: Option<Timestamp>, old: Option<Timestamp>) -> bool {
    match (new, old) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(new), Some(old)) => new > old,
    }
}

#[cfg(test)]
mod tests;
