//! Which scopes a request gets. A scope must be registered by its very name and with the type that the grant needs:
//! `OR.Jobs.Read` and `OR.Jobs.Write` together are not `OR.Jobs`, and what an application may do by itself it may not
//! therefore do for a person.

use super::refusal::Refusal;
use crate::local_cloud::DEFAULT_SCOPE;
use crate::local_cloud::catalogue::ScopeType;
use crate::local_cloud::store::applications::Client;

/// Asks for an ID token (OpenID Connect Core section 3.1.2.1).
pub const OPENID: &str = "openid";
/// Asks for the person's name at the userinfo endpoint.
pub const PROFILE: &str = "profile";
/// Asks for the person's address at the userinfo endpoint.
pub const EMAIL: &str = "email";
/// Asks for a refresh token.
pub const OFFLINE_ACCESS: &str = "offline_access";

/// OpenID Connect's scopes, which every application with user scopes may ask for.
pub const OF_OPENID_CONNECT: [&str; 4] = [OPENID, PROFILE, EMAIL, OFFLINE_ACCESS];

/// The longest scope string that is accepted, in bytes: the newest limit that is known of a server on premises.
const LONGEST: usize = 1250;

/// The names in `scope`, each once, in the order in which they were asked for.
pub fn names(scope: &str) -> Result<Vec<String>, Refusal> {
    if scope.len() > LONGEST {
        return Err(Refusal::malformed("Invalid scope"));
    }
    let mut names: Vec<String> = Vec::new();
    for name in scope.split(' ').filter(|name| !name.is_empty()) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() { Err(Refusal::InvalidScope) } else { Ok(names) }
}

/// The scopes that a client gets for itself. A request that names no scope is refused, the stricter reading.
pub fn for_itself(client: &Client, scope: Option<&str>) -> Result<Vec<String>, Refusal> {
    if !client.confidential || !has(&client.scopes, ScopeType::Application) {
        return Err(Refusal::UnauthorizedClient);
    }
    let names = names(scope.ok_or(Refusal::InvalidScope)?)?;
    for name in &names {
        if name == DEFAULT_SCOPE || registered(&client.scopes, name, ScopeType::Application) {
            continue;
        }
        if registered(&client.scopes, name, ScopeType::User) {
            return Err(Refusal::malformed(format!("Client={} is not allowed to access User scopes", client.id)));
        }
        return Err(Refusal::InvalidScope);
    }
    Ok(names)
}

/// Whether an application may ask people for anything.
pub fn serves_people(scopes: &[(String, ScopeType)]) -> bool {
    has(scopes, ScopeType::User)
}

/// Whether an application may have this scope on behalf of a person.
pub fn allowed_for_people(scopes: &[(String, ScopeType)], name: &str) -> bool {
    name == DEFAULT_SCOPE || OF_OPENID_CONNECT.contains(&name) || registered(scopes, name, ScopeType::User)
}

/// The scopes that an application gets on behalf of a person. `offline_access` alone gives access to nothing.
pub fn for_people(registered: &[(String, ScopeType)], scope: Option<&str>) -> Result<Vec<String>, Refusal> {
    let names = names(scope.ok_or(Refusal::InvalidScope)?)?;
    let allowed = names.iter().all(|name| allowed_for_people(registered, name));
    if allowed && names != [OFFLINE_ACCESS] { Ok(names) } else { Err(Refusal::InvalidScope) }
}

fn has(scopes: &[(String, ScopeType)], kind: ScopeType) -> bool {
    scopes.iter().any(|(_, found)| *found == kind)
}

fn registered(scopes: &[(String, ScopeType)], name: &str, kind: ScopeType) -> bool {
    scopes.iter().any(|(scope, found)| scope == name && *found == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(confidential: bool, scopes: &[(&str, ScopeType)]) -> Client {
        let scopes = scopes.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Client { id: "app".to_owned(), confidential, scopes, secrets: Vec::new() }
    }

    fn ask(client: &Client, scope: &str) -> Result<Vec<String>, Refusal> {
        for_itself(client, Some(scope))
    }

    #[test]
    fn no_scope_implies_another_one() {
        let client =
            client(true, &[("OR.Jobs.Read", ScopeType::Application), ("OR.Jobs.Write", ScopeType::Application)]);
        assert_eq!(ask(&client, "OR.Jobs.Read").unwrap(), ["OR.Jobs.Read"]);
        assert_eq!(ask(&client, "OR.Jobs"), Err(Refusal::InvalidScope));
    }

    #[test]
    fn the_default_scope_is_everyones_and_order_is_kept() {
        let client = client(true, &[("OR.Jobs", ScopeType::Application)]);
        assert_eq!(ask(&client, "OR.Jobs OR.Default  OR.Jobs").unwrap(), ["OR.Jobs", "OR.Default"]);
        assert_eq!(ask(&client, "OR.Default").unwrap(), ["OR.Default"]);
    }

    #[test]
    fn a_user_scope_is_refused_in_words() {
        let client = client(true, &[("OR.Jobs", ScopeType::Application), ("OR.Assets", ScopeType::User)]);
        let message = "Client=app is not allowed to access User scopes".to_owned();
        assert_eq!(ask(&client, "OR.Assets"), Err(Refusal::InvalidRequest(Some(message))));
        assert_eq!(ask(&client, "OR.Assets.Read"), Err(Refusal::InvalidScope));
        assert_eq!(ask(&client, "OR.Jobs offline_access"), Err(Refusal::InvalidScope));
        assert_eq!(ask(&client, "OR.Jobs openid"), Err(Refusal::InvalidScope));
    }

    #[test]
    fn the_grant_follows_from_the_registered_scopes() {
        let user_only = client(true, &[("OR.Jobs", ScopeType::User)]);
        let public = client(false, &[("OR.Jobs", ScopeType::User)]);
        let application_only = client(true, &[("OR.Jobs", ScopeType::Application)]);
        assert_eq!(ask(&user_only, "OR.Jobs"), Err(Refusal::UnauthorizedClient));
        assert_eq!(ask(&public, "OR.Default"), Err(Refusal::UnauthorizedClient));
        assert!(serves_people(&user_only.scopes) && serves_people(&public.scopes));
        assert!(!serves_people(&application_only.scopes));
    }

    #[test]
    fn a_scope_must_be_asked_for_and_its_string_has_a_longest_length() {
        let client = client(true, &[("OR.Jobs", ScopeType::Application)]);
        assert_eq!(for_itself(&client, None), Err(Refusal::InvalidScope));
        assert_eq!(ask(&client, " "), Err(Refusal::InvalidScope));
        let long = "OR.Jobs ".repeat(200);
        assert_eq!(ask(&client, &long), Err(Refusal::InvalidRequest(Some("Invalid scope".to_owned()))));
        assert_eq!(for_people(&client.scopes, Some(&long)), Err(Refusal::malformed("Invalid scope")));
    }

    #[test]
    fn people_lend_user_scopes_and_openid_connects_and_no_application_scope() {
        let scopes = client(true, &[("OR.Jobs", ScopeType::User), ("OR.Assets", ScopeType::Application)]).scopes;
        let all = "OR.Jobs OR.Default openid profile email offline_access";
        assert_eq!(for_people(&scopes, Some(all)).unwrap().join(" "), all);
        for scope in ["OR.Assets", "OR.Jobs OR.Assets", "OR.Jobs.Read", "OPENID", "offline_access", ""] {
            assert_eq!(for_people(&scopes, Some(scope)), Err(Refusal::InvalidScope), "{scope}");
        }
    }
}
