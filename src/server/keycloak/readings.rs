//! What was measured of Keycloak 26.7.3, where its documentation says nothing or something else.
//!
//! - **Roles.** `manage-clients` of `realm-management` alone: list, read, create, change and delete clients; see,
//!   regenerate and invalidate their secrets; read, make, change, assign and delete client scopes; read client roles and
//!   find a client's service account. `create-client` and `view-clients` without it make nothing. To read and give roles
//!   of a service account: `manage-users`; to read realm roles and what a role is composed of: `view-realm`. Everything
//!   else answers 403 `{"error":"HTTP 403 Forbidden"}`. Whoever has only `query-clients` gets an *empty list* with 200.
//! - **Scope.** A client made without a word has `fullScopeAllowed: true`, and its tokens every role of whoever signs in;
//!   with `consentRequired: true` it is false. Without it a token has the roles that both its subject and the client's
//!   scope mappings have, composed ones taken apart. `manage-clients` alone reads all scope mappings and changes those of
//!   client roles, those of `realm-management` included; of realm roles only `manage-realm` does, which may also read them.
//!   A user shows nothing of the client whose service account it is.
//! - **Clients.** `clientId` is chosen by whoever creates it, and so may be `id`; a second one of either answers 409.
//!   The answer to a create is empty. An unknown client scope in it is *ignored*, as is every assignment of client
//!   scopes in an update: those have requests of their own, and which of the two lists a scope is in does not matter to
//!   the one that removes it. `service_account` is assigned by the server itself.
//! - **Update.** What the body leaves out stays, attributes too; one is removed by the empty string. A body without
//!   `attributes` is answered with 500 where the policy for rotation wants to replace the secret at the same time.
//!   Web origins are filled in from the redirect URIs only by a create; `+` follows them.
//! - **Secrets.** Shown in every read and every list to whoever may read clients. `client.secret.creation.time` does
//!   not change when somebody sets a secret by hand. With the policy `secret-rotation`, a regenerated secret leaves the
//!   one before it valid, as `client.secret.rotated` until `client.secret.rotated.expiration.time`; a third one ends the
//!   first. The token endpoint refuses a secret after `client.secret.expiration.time`, and the next update replaces it.
//! - **Lengths.** A name, a `clientId` or a description of more than 255 characters is answered with 500.
//! - **Pages.** `first` and `max`, by `clientId`; no total and no link. Attributes cannot be searched for unless the
//!   server was started with a list of them.
//! - **Tokens.** `basic` gives `sub` and `auth_time`, `roles` the roles (and the audiences that they imply), `web-origins`
//!   the origins, `acr` the level. With client credentials no refresh token comes. `openid` is no client scope and may
//!   always be asked for; any other scope that is not assigned is refused (`invalid_scope`), and so is an empty one.
//! - **Refusals.** `{"errorMessage"}` or `{"error", "error_description"}`. A client that is not known, a wrong secret and
//!   a disabled client answer 401 with `invalid_client` or `unauthorized_client`. There is no limit of requests.
//! - **Keys of clients.** With `client-jwt` a client is known by `jwks.string` or `jwks.url`, whichever `use.jwks.string` or
//!   `use.jwks.url` says; anything is taken for keys. The audience is the issuer or the token endpoint. A secret is made and
//!   shown all the same, not accepted, and accepted again with the way back. `client.secret.authentication.allowed.method`
//!   holds a client with a secret to one of the two ways to show it.
//! - **Federated client authentication.** `federated-jwt` with an identity provider of type `kubernetes` is on by
//!   default. The client is looked up by `jwt.credential.issuer` (the provider's alias, which need not be there) and
//!   `jwt.credential.sub`; of two with the same, either is taken. The one audience is the realm's issuer, and a token with
//!   two is refused. Any lifetime is accepted. `manage-clients` may set it on a client; to read providers takes
//!   `view-identity-providers`. Of attributes these alone can be searched for (`q`) without a list at the server's start;
//!   others are answered with 400.

/// Client scopes without which a token is of little use: subject, roles, origins, level of authentication. Assigned to
/// every client where the realm has them, and never asked for.
pub(super) const ALWAYS: [&str; 4] = ["basic", "roles", "web-origins", "acr"];

/// Assigned by the server itself to whoever has a service account.
pub(super) const SERVICE_ACCOUNT: &str = "service_account";

/// May be asked for without being assigned.
pub(super) const OPENID: &str = "openid";

/// The longest name, `clientId` or description, in characters.
pub(super) const LONGEST: usize = 255;

/// Where its administrative roles are: in every realm, and for the other realms in the master realm.
pub(super) const MANAGEMENT: &str = "realm-management";
pub(super) const MASTER: &str = "master";
pub(super) const MASTER_MANAGEMENT: &str = "master-realm";

/// Clients that every realm has: a part of Keycloak.
pub(super) const BUILT_IN: [&str; 6] =
    ["account", "account-console", "admin-cli", "broker", MANAGEMENT, "security-admin-console"];

/// Realm roles of the master realm that administer all realms.
pub(super) const MASTER_ROLES: [&str; 2] = ["admin", "create-realm"];

/// Realm roles that every realm has, and that nobody means.
pub(super) const BUILT_IN_ROLES: [&str; 2] = ["offline_access", "uma_authorization"];
