//! The requests of the admin API: what is the same about each of them, whoever asks.

use crate::server::budget::Class;
use crate::server::json_api::Operation;

const MANAGE: &str = "the role manage-clients of the client realm-management";
const USERS: &str = "the role manage-users of the client realm-management";
const MANAGE_REALM: &str = "the role manage-realm of the client realm-management";
const PROVIDER: &str = "the role view-identity-providers of the client realm-management";
const REALM: &str = "the role view-realm of the client realm-management";

/// One page of clients, or all client scopes.
const LIST_LIMIT: usize = 8 << 20;

pub(super) const TOKEN: Operation = Operation {
    names_thing: false,
    ..Operation::write("token", Class::Post, "/realms/{realm}/protocol/openid-connect/token", "nothing")
};

pub(super) const LIST: Operation = Operation { limit: LIST_LIMIT, ..about_realm("list", "/clients", MANAGE) };
pub(super) const GET: Operation = about_realm("get", "/clients", MANAGE);
pub(super) const CREATE: Operation = Operation::create("create", "/clients", MANAGE);
pub(super) const UPDATE: Operation = Operation::write("update", Class::Put, "/clients/{client}", MANAGE);
pub(super) const DELETE: Operation = Operation::write("delete", Class::Delete, "/clients/{client}", MANAGE);
/// Makes another secret each time.
pub(super) const ADD_SECRET: Operation =
    Operation { names_thing: true, ..Operation::create("add_secret", "/clients/{client}/client-secret", MANAGE) };
pub(super) const REMOVE_SECRET: Operation =
    Operation::write("remove_secret", Class::Delete, "/clients/{client}/client-secret/rotated", MANAGE);
pub(super) const ASSIGN_SCOPE: Operation =
    Operation::write("assign_scope", Class::Put, "/clients/{client}/optional-client-scopes/{scope}", MANAGE);
pub(super) const WITHDRAW_SCOPE: Operation =
    Operation::write("withdraw_scope", Class::Delete, "/clients/{client}/optional-client-scopes/{scope}", MANAGE);

pub(super) const SCOPES: Operation = Operation { limit: LIST_LIMIT, ..about_realm("scopes", "/client-scopes", MANAGE) };
/// A second one of the same name is refused, so that it may be sent twice.
pub(super) const CREATE_SCOPE: Operation =
    Operation { names_thing: false, ..Operation::write("create_scope", Class::Post, "/client-scopes", MANAGE) };
pub(super) const UPDATE_SCOPE: Operation =
    Operation::write("update_scope", Class::Put, "/client-scopes/{scope}", MANAGE);
pub(super) const DELETE_SCOPE: Operation =
    Operation::write("delete_scope", Class::Delete, "/client-scopes/{scope}", MANAGE);
pub(super) const ADD_MAPPER: Operation = Operation {
    names_thing: true,
    ..Operation::create("add_mapper", "/client-scopes/{scope}/protocol-mappers/models", MANAGE)
};
pub(super) const REMOVE_MAPPER: Operation =
    Operation::write("remove_mapper", Class::Delete, "/client-scopes/{scope}/protocol-mappers/models/{mapper}", MANAGE);

pub(super) const PROVIDERS: Operation =
    Operation { limit: LIST_LIMIT, ..about_realm("identity_providers", "/identity-provider/instances", PROVIDER) };

pub(super) const SERVICE_ACCOUNT: Operation =
    Operation::read("service_account", "/clients/{client}/service-account-user", MANAGE);
pub(super) const ROLES: Operation =
    Operation { limit: LIST_LIMIT, ..Operation::read("roles", "/users/{user}/role-mappings", USERS) };
pub(super) const CLIENT: Operation = Operation::read("client", "/clients/{client}", MANAGE);
pub(super) const REALM_ROLE: Operation = Operation::read("realm_role", "/roles/{role}", REALM);
pub(super) const REALM_ROLES: Operation =
    Operation { limit: LIST_LIMIT, ..Operation::read("realm_roles", "/roles", REALM) };
pub(super) const CLIENT_ROLE: Operation = Operation::read("client_role", "/clients/{client}/roles/{role}", MANAGE);
pub(super) const CLIENT_ROLES: Operation =
    Operation { limit: LIST_LIMIT, ..Operation::read("client_roles", "/clients/{client}/roles", MANAGE) };
pub(super) const ROLE: Operation = Operation::read("role", "/roles-by-id/{role}", REALM);
pub(super) const COMPOSITES: Operation =
    Operation { limit: LIST_LIMIT, ..Operation::read("composites", "/roles-by-id/{role}/composites", REALM) };
pub(super) const GIVE_ROLES: Operation =
    Operation::write("give_roles", Class::Post, "/users/{user}/role-mappings", USERS);
pub(super) const TAKE_ROLES: Operation =
    Operation::write("take_roles", Class::Delete, "/users/{user}/role-mappings", USERS);
/// What the client's tokens may have, of all that an account or a person has.
pub(super) const SCOPE_ROLES: Operation =
    Operation { limit: LIST_LIMIT, ..Operation::read("scope_roles", "/clients/{client}/scope-mappings", MANAGE) };
pub(super) const WIDEN_SCOPE: Operation =
    Operation::write("widen_scope", Class::Post, "/clients/{client}/scope-mappings", MANAGE);
pub(super) const NARROW_SCOPE: Operation =
    Operation::write("narrow_scope", Class::Delete, "/clients/{client}/scope-mappings", MANAGE);

/// The same about roles of the realm itself.
pub(super) const WIDEN_SCOPE_BY_REALM: Operation = Operation { needed: MANAGE_REALM, ..WIDEN_SCOPE };
pub(super) const NARROW_SCOPE_BY_REALM: Operation = Operation { needed: MANAGE_REALM, ..NARROW_SCOPE };

/// A read of which an absence is that of the realm.
const fn about_realm(name: &'static str, template: &'static str, needed: &'static str) -> Operation {
    Operation { names_thing: false, ..Operation::read(name, template, needed) }
}
