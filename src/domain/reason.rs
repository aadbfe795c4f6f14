//! The closed set of reasons. The same word stands in a condition, in an Event and in a metric's label.

use strum::{EnumIter, IntoStaticStr};

/// Why something is as it is. Documented for users in `docs/reasons.md`, which a test compares with this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr, EnumIter)]
pub enum Reason {
    /// Everything is as the spec says.
    Ready,
    /// The server answers and its catalogue is published.
    Connected,
    /// A registration was made.
    Registered,
    /// A registration of unknown outcome was found and taken into care.
    TakenOver,
    /// An existing registration was adopted.
    Adopted,
    /// The registration was changed to what the spec says.
    Updated,
    /// The registration had been deleted at the server and was made again.
    Recreated,
    /// Someone changed the registration at the server; it was set right.
    DriftCorrected,
    /// The registration differs from the spec, and nothing is written.
    DriftFound,
    /// The registration is as the spec says.
    InSync,
    /// What an ApiResource declares may be asked for.
    Declared,
    /// The server was made to offer what an ApiResource declares.
    Enforced,
    /// The credentials are where workloads can mount them.
    Published,
    /// An object with credentials was written again because it was missing or had been changed.
    Republished,
    /// A new secret replaced one that was lost.
    SecretReplaced,
    /// A secret was added beside the published one, to replace it.
    SecretAdded,
    /// The token endpoint accepts the added secret.
    SecretProven,
    /// The secret was replaced by another one.
    Rotated,
    /// The secret before the current one was published again.
    RolledBack,
    /// A rotation is due and waits for its turn.
    RotationWaiting,
    /// The token endpoint does not accept the added secret yet.
    Proving,
    /// The token endpoint did not accept the added secret, which was removed again.
    ProofFailed,
    /// There is no secret before the current one that is still valid.
    RollbackImpossible,
    /// A replaced secret was removed at the server.
    SecretRetired,
    /// A workload was restarted, so that it has the secret that is published now.
    Restarted,
    /// A workload that should be restarted was left alone.
    RestartLeft,
    /// An output that is no longer asked for was removed.
    OutputRemoved,
    /// Nothing is written because management is Observe.
    Observed,
    /// Nothing is done because `suspend` is true.
    Suspended,
    /// The registration was deleted at the server.
    Deleted,
    /// The registration was left at the server.
    Retained,
    /// The registration was left at the server, without secrets.
    Revoked,
    /// The object went before the server could be asked; the registration is listed as pending.
    Abandoned,
    /// Work is under way.
    Progressing,
    /// The roles are assigned.
    Permitted,
    /// Roles were assigned or taken away.
    RolesChanged,
    /// What was assigned was taken away.
    RolesRemoved,
    /// The registration trusts the tokens of another issuer.
    FederatedCredentialAdded,
    /// A federated credential is another one from now on.
    FederatedCredentialChanged,
    /// The registration trusts tokens no longer.
    FederatedCredentialRemoved,

    /// `serverRef` names an AuthorizationServer that does not exist.
    ServerNotFound,
    /// The AuthorizationServer is not Ready yet.
    ServerNotReady,
    /// The server cannot be reached.
    ServerUnreachable,
    /// The server does not answer in time.
    ServerTimeout,
    /// The server answers with an error of its own.
    ServerFailed,
    /// The server answers something that is not its API.
    UnexpectedAnswer,
    /// The server limits requests, or the operator's budget for it is spent.
    RateLimited,
    /// The server refuses the operator's credentials.
    CredentialsRefused,
    /// The operator's credentials lack a permission.
    PermissionDenied,
    /// The server will not take these values.
    RejectedByServer,
    /// The server reports a conflict.
    ServerConflict,
    /// The answer to a create was lost.
    OutcomeUnknown,

    /// The Secret that `credentialsRef` names is missing or lacks a key.
    CredentialsMissing,
    /// The operator's own credentials expire soon.
    CredentialsExpiring,
    /// The Secret was changed by somebody else while the operator replaced its own credentials.
    RotationInterrupted,
    /// It is not known which of the server's secrets is the operator's own, and none is removed.
    SecretUnidentified,
    /// The ConfigMap that `caRef` names is missing or holds no certificate.
    CaInvalid,
    /// The URL is not permitted.
    UrlNotPermitted,
    /// The server now answers for another organization.
    OrganizationChanged,
    /// Applications still use the server.
    InUse,
    /// Registrations still wait for deletion.
    DeletionsPending,

    /// The server does not admit the namespace.
    NamespaceNotAllowed,
    /// The namespace has as many applications as it may have.
    LimitReached,
    /// A scope is not in the server's catalogue.
    UnknownScope,
    /// A scope is not allowed by the AuthorizationServer.
    ScopeNotAllowed,
    /// A scope cannot be granted as this type.
    WrongScopeType,
    /// A setting that reaches beyond the application is not allowed by the AuthorizationServer.
    SettingNotAllowed,
    /// Hardly any registration is at the server any more.
    RegistrationsVanished,
    /// The server has no such setting or operation.
    NotSupported,
    /// The spec contradicts itself.
    InvalidSpec,
    /// A template cannot be rendered.
    TemplateInvalid,
    /// A Secret or ConfigMap of that name exists and is not the operator's.
    SecretConflict,
    /// A Secret or ConfigMap could not be written.
    OutputNotWritten,
    /// The registration to adopt cannot be adopted.
    AdoptionRefused,
    /// The registration to observe does not exist.
    RegistrationMissing,
    /// It cannot be proven which registration a lost create made.
    RegistrationAmbiguous,
    /// The operator knows the registration and has nothing (any more) that the server lets it be managed with.
    RegistrationOutOfReach,
    /// The secret has expired, and this server gives no other.
    SecretExpired,
    /// The secret is not known, and may not be replaced under management Observe.
    SecretUnknown,
    /// The catalogue of this server is its own; declared resources are not used.
    CatalogueNotDeclarable,
    /// `applicationRef` names an application that does not exist.
    ApplicationNotFound,
    /// The application is not registered yet, or is being deleted.
    ApplicationNotReady,
    /// Roles cannot be given to this application.
    ApplicationUnsuitable,
    /// The directory does not know the application, or not yet.
    PrincipalNotFound,
    /// Several applications have the name, and nothing tells which of them is meant.
    PrincipalAmbiguous,
    /// The organization has no such tenant.
    TenantNotFound,
    /// The tenant has no such folder.
    UnknownFolder,
    /// The tenant has no such role.
    UnknownRole,
    /// A tenant's role in a folder, or a folder's role in the tenant.
    WrongRoleType,
    /// A role administers the server itself, and is given to no application.
    RoleNotAllowed,
    /// Another RoleAssignment says something else.
    AssignmentConflict,
    /// Roles are taken away before the registration is deleted.
    RolesRemain,
    /// The Kubernetes API did not take a write, or a read of what the spec names.
    KubernetesRefused,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
