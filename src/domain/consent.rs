//! Who may use a server, and for what: decided before every act.

use std::collections::BTreeMap;

use super::registration::{ClientId, Setting, SettingValue, Settings};
use crate::api::authorization_server::{AuthorizationServer, NamespacesFrom};

/// A namespace as consent sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace<'a> {
    pub name: &'a str,
    pub labels: &'a BTreeMap<String, String>,
}

/// Whether applications of this namespace may use the server. The server's own namespace always may.
pub fn admits(server: &AuthorizationServer, namespace: &Namespace<'_>) -> bool {
    if server.metadata.namespace.as_deref() == Some(namespace.name) {
        return true;
    }
    let Some(allowed) = &server.spec.allowed_namespaces else { return false };
    match allowed.from {
        NamespacesFrom::Same => false,
        NamespacesFrom::All => true,
        NamespacesFrom::Selector => {
            allowed.selector.as_ref().is_some_and(|selector| selector.matches(namespace.labels))
        }
    }
}

/// Whether a scope may be asked for: `None` allows any, a `*` at the end of a pattern stands for any rest.
pub fn allows_scope(patterns: Option<&[String]>, scope: &str) -> bool {
    patterns.is_none_or(|patterns| matches_any(patterns, scope))
}

fn matches_any(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => text == pattern,
    })
}

/// The first setting that the server's owner has not consented to, with what to do. An audience is another team's API, and
/// consent is other people's; nothing else of a setting reaches beyond the application.
pub fn setting_refused(server: &AuthorizationServer, namespace: &str, settings: &Settings) -> Option<String> {
    if server.metadata.namespace.as_deref() == Some(namespace) {
        return None;
    }
    let allowed = server.spec.allowed_audiences.as_deref().unwrap_or_default();
    settings.iter().find_map(|(setting, value)| match (setting, value) {
        (Setting::Audiences, SettingValue::List(audiences)) => {
            let foreign = audiences.iter().find(|audience| !matches_any(allowed, audience))?;
            Some(format!(
                "spec.settings.audiences: {foreign} is not allowed by the AuthorizationServer; ask its owner to add it to allowedAudiences"
            ))
        }
        (Setting::SkipConsent | Setting::SkipLogoutConsent, SettingValue::Flag(true)) => Some(format!(
            "spec.{}: only applications of the namespace of the AuthorizationServer may skip people's consent; remove it",
            setting.field()
        )),
        _ => None,
    })
}

/// Whether an application of this namespace may adopt a registration, before anything is proven.
pub fn allows_adoption(server: &AuthorizationServer, namespace: &str, id: &ClientId, guessable_ids: bool) -> bool {
    let own = server.metadata.namespace.as_deref() == Some(namespace);
    own || match &server.spec.allowed_adoptions {
        Some(patterns) => matches_any(patterns, id.as_str()),
        None => !guessable_ids,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::authorization_server::AllowedNamespaces;
    use crate::api::common::{LabelSelector, LabelValue};
    use crate::domain::fixtures::server;

    fn admitted(from: Option<AllowedNamespaces>, name: &str, labels: &[(&str, &str)]) -> bool {
        let mut server = server();
        server.spec.allowed_namespaces = from;
        let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        admits(&server, &Namespace { name, labels: &labels })
    }

    #[test]
    fn without_consent_only_the_servers_own_namespace_is_admitted() {
        assert!(admitted(None, "identity", &[]));
        assert!(!admitted(None, "team-a", &[]));
        assert!(!admitted(Some(AllowedNamespaces::default()), "team-a", &[]));
    }

    #[test]
    fn a_selector_admits_what_it_matches_and_a_missing_one_admits_nothing() {
        let selector = LabelSelector {
            match_labels: BTreeMap::from([("oauth".into(), LabelValue("yes".into()))]),
            ..LabelSelector::default()
        };
        let by = |selector| Some(AllowedNamespaces { from: NamespacesFrom::Selector, selector });
        assert!(admitted(by(Some(selector.clone())), "team-a", &[("oauth", "yes")]));
        assert!(!admitted(by(Some(selector)), "team-a", &[("oauth", "no")]));
        assert!(!admitted(by(None), "team-a", &[("oauth", "yes")]));
    }

    #[test]
    fn a_star_is_a_wildcard_only_at_the_end() {
        let patterns = ["OR.*".to_string(), "PM.User".to_string()];
        for (scope, allowed) in
            [("OR.Jobs", true), ("OR.", true), ("PM.User", true), ("PM.User.Read", false), ("XOR.A", false)]
        {
            assert_eq!(allows_scope(Some(&patterns), scope), allowed, "{scope}");
        }
        assert!(allows_scope(None, "anything") && !allows_scope(Some(&[]), "anything"));
    }

    #[test]
    fn what_reaches_beyond_an_application_needs_the_consent_of_the_servers_owner() {
        let mut server = server();
        let audiences = |names: &[&str]| -> Settings {
            let names = names.iter().map(ToString::to_string).collect();
            [(Setting::Audiences, SettingValue::List(names))].into()
        };
        let skips = |flag| -> Settings { [(Setting::SkipConsent, SettingValue::Flag(flag))].into() };
        let said = |server: &AuthorizationServer, namespace: &str, settings: &Settings| {
            setting_refused(server, namespace, settings).is_none()
        };
        assert!(said(&server, "identity", &audiences(&["https://payments.example"])));
        assert!(said(&server, "identity", &skips(true)));
        assert!(!said(&server, "team", &audiences(&["https://payments.example"])));
        assert!(!said(&server, "team", &skips(true)) && said(&server, "team", &skips(false)));
        server.spec.allowed_audiences = Some(vec!["https://team.example/*".into()]);
        assert!(said(&server, "team", &audiences(&["https://team.example/a"])));
        assert!(!said(&server, "team", &audiences(&["https://team.example/a", "https://payments.example"])));
    }
}
