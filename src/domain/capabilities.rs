//! What a server can do, so that what it cannot is refused with a reason and never ignored.

use super::observed::Finding;
use super::reason::Reason;
use super::registration::{ClientType, Desired, Setting};

/// What one kind of server can do.
#[allow(clippy::struct_excessive_bools, reason = "each is a question of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The name of the kind, as the outputs say it in `provider`.
    pub provider: &'static str,
    /// Whether a registration carries the UID of its application, so that it is recognised whatever became of the answer
    /// to its create.
    pub marks: bool,
    /// Whether every registration of the server can be listed, and not only those that we know.
    pub lists: bool,
    /// Whether people choose client ids, so that to know one says nothing about whose it is.
    pub guessable_ids: bool,
    /// Whether a registration says of each scope for which grant it is. Elsewhere it has one set for all its grants.
    pub scopes_per_grant: bool,
    /// Whether a registration that has become public, or confidential, can be set right.
    pub changes_type: bool,
    pub secrets: Secrets,
    /// What may be set beyond name, redirect URIs and scopes.
    pub settings: &'static [Setting],
    pub catalogue: CatalogueSource,
    pub permissions: PermissionScope,
    /// Whether it takes tokens of other issuers in place of a secret (RFC 7523), and how; `None`: not at all.
    pub federation: Option<Federation>,
}

/// How a server takes tokens of other issuers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Federation {
    /// How many federated credentials a registration can have.
    pub most: usize,
    /// Whether it can have a secret beside them.
    pub beside_secret: bool,
    /// The signatures that it takes, by their names in JOSE (RFC 7518 section 3.1); none: those that the keys allow.
    pub algorithms: &'static [&'static str],
}

/// How many secrets a registration may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// A new one beside those there are.
    Several,
    /// One: a new one takes the place of the one there is.
    One,
    /// The one that it was made with.
    Fixed,
}

/// Where it is said which scopes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogueSource {
    /// By the server alone.
    Own,
    /// By ApiResource objects, beside what the server tells of itself.
    Declared,
    /// The same, and the server can be made to offer what they say.
    Managed,
}

/// What permissions an application can be given beyond its scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermissionScope {
    None,
    /// Roles in tenants and their folders.
    TenantsAndFolders,
    /// Roles, without tenants.
    Roles,
}

impl Capabilities {
    /// The first thing that is asked for and cannot be had here.
    pub fn refusal(&self, desired: &Desired) -> Option<Finding> {
        let method = Setting::TokenEndpointAuthMethod;
        if desired.client_type == ClientType::NonConfidential && desired.settings.contains_key(&method) {
            let message = format!(
                "spec.{}: a NonConfidential application has no secret to authenticate with. Remove it",
                method.field()
            );
            return Some(Finding::stalled(Reason::InvalidSpec, message));
        }
        let setting = desired.settings.keys().find(|setting| !self.settings.contains(setting))?;
        let known: Vec<&str> = self.settings.iter().map(|setting| setting.field()).collect();
        let instead = if known.is_empty() {
            "it has no settings at all".to_owned()
        } else {
            format!("it has {}", known.join(", "))
        };
        let message = format!(
            "spec.{}: a server of kind {} has no such setting; {instead}. Remove it",
            setting.field(),
            self.provider
        );
        Some(Finding::stalled(Reason::NotSupported, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{desired, facts};
    use crate::domain::registration::SettingValue;

    #[test]
    fn a_setting_that_the_server_does_not_have_is_refused_by_name_and_with_those_that_it_has() {
        let mut wanted = desired();
        wanted.settings.insert(Setting::SkipConsent, SettingValue::Flag(true));
        let none = facts().capabilities;
        let finding = none.refusal(&wanted).expect("refused");
        assert_eq!(finding.reason, Reason::NotSupported);
        assert!(finding.message.starts_with("spec.settings.skipConsent: "), "{}", finding.message);
        let some = Capabilities { settings: &[Setting::Audiences], ..none };
        assert!(some.refusal(&wanted).expect("refused").message.contains("it has settings.audiences"));
        let all = Capabilities { settings: &Setting::ALL, ..none };
        assert_eq!(all.refusal(&wanted), None);
    }

    #[test]
    fn who_has_no_secret_is_not_told_how_to_send_it() {
        let method = SettingValue::Text("client_secret_post".into());
        let settings = [(Setting::TokenEndpointAuthMethod, method)].into();
        let mut wanted = Desired { settings, ..desired() };
        let all = Capabilities { settings: &Setting::ALL, ..facts().capabilities };
        assert_eq!(all.refusal(&wanted), None);
        wanted.client_type = ClientType::NonConfidential;
        let finding = all.refusal(&wanted).expect("refused");
        assert_eq!(finding.reason, Reason::InvalidSpec);
        assert!(finding.message.starts_with("spec.settings.tokenEndpointAuthMethod: "), "{}", finding.message);
    }
}
