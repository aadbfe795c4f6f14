//! Addresses below `orchestrator_/`: OData puts keys and parameters into parentheses, which routers do not know.

use super::errors::Refusal;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Folders,
    Folder(i64),
    AssignDomainUser,
    AssignDirectoryUser,
    AssignUsers,
    RemoveUserFromFolder(i64),
    UsersForFolder { folder: i64, inherited: bool },
    Roles,
    Role(i64),
    Users,
    User(i64),
    AssignRoles(i64),
    QueueDefinitions,
    QueueDefinition(i64),
    SearchForUsersAndGroups,
    DomainUserId,
    Domains,
}

/// The namespace of actions and functions.
const NAMESPACE: &str = "UiPath.Server.Configuration.OData.";

impl Target {
    /// Reads a decoded path.
    pub fn read(path: &str) -> Result<Self, Refusal> {
        if let Some(function) = path.strip_prefix("api/DirectoryService/") {
            return match function {
                "SearchForUsersAndGroups" => Ok(Self::SearchForUsersAndGroups),
                "GetDomainUserId" => Ok(Self::DomainUserId),
                "GetDomains" => Ok(Self::Domains),
                _ => Err(Refusal::NoSuchAddress),
            };
        }
        let path = path.strip_prefix("odata/").ok_or(Refusal::NoSuchAddress)?;
        let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let (set, key) = with_parentheses(first)?;
        let Some(operation) = rest else { return Self::resource(set, key.map(number).transpose()?) };
        let (operation, parameters) =
            with_parentheses(operation.strip_prefix(NAMESPACE).ok_or(Refusal::NoSuchAddress)?)?;
        let key = key.map(number).transpose()?;
        match (set, key, operation, parameters) {
            ("Folders", None, "AssignDomainUser", None) => Ok(Self::AssignDomainUser),
            ("Folders", None, "AssignDirectoryUser", None) => Ok(Self::AssignDirectoryUser),
            ("Folders", None, "AssignUsers", None) => Ok(Self::AssignUsers),
            ("Folders", None, "GetUsersForFolder", Some(parameters)) => users_for_folder(parameters),
            ("Folders", Some(folder), "RemoveUserFromFolder", None) => Ok(Self::RemoveUserFromFolder(folder)),
            ("Users", Some(user), "AssignRoles", None) => Ok(Self::AssignRoles(user)),
            _ => Err(Refusal::NoSuchAddress),
        }
    }

    fn resource(set: &str, key: Option<i64>) -> Result<Self, Refusal> {
        match (set, key) {
            ("Folders", None) => Ok(Self::Folders),
            ("Folders", Some(id)) => Ok(Self::Folder(id)),
            ("Roles", None) => Ok(Self::Roles),
            ("Roles", Some(id)) => Ok(Self::Role(id)),
            ("Users", None) => Ok(Self::Users),
            ("Users", Some(id)) => Ok(Self::User(id)),
            ("QueueDefinitions", None) => Ok(Self::QueueDefinitions),
            ("QueueDefinitions", Some(id)) => Ok(Self::QueueDefinition(id)),
            _ => Err(Refusal::NoSuchAddress),
        }
    }
}

/// `Folders(12)` as `Folders` and `12`.
fn with_parentheses(segment: &str) -> Result<(&str, Option<&str>), Refusal> {
    match segment.split_once('(') {
        None => Ok((segment, None)),
        Some((name, rest)) => {
            let inner = rest.strip_suffix(')').ok_or_else(|| Refusal::query("A parenthesis is not closed."))?;
            Ok((name, Some(inner)))
        }
    }
}

fn number(text: &str) -> Result<i64, Refusal> {
    text.parse().map_err(|_| Refusal::query(format!("The key '{}' is not a number.", shortened(text))))
}

fn users_for_folder(parameters: &str) -> Result<Target, Refusal> {
    let (mut folder, mut inherited) = (None, None);
    for parameter in parameters.split(',') {
        match parameter.trim().split_once('=') {
            Some(("key", value)) if folder.is_none() => folder = Some(number(value)?),
            Some(("includeInherited", "true")) if inherited.is_none() => inherited = Some(true),
            Some(("includeInherited", "false")) if inherited.is_none() => inherited = Some(false),
            _ => return Err(Refusal::query("The parameters are key and includeInherited.")),
        }
    }
    let both = folder.zip(inherited).ok_or_else(|| Refusal::query("The parameters are key and includeInherited."))?;
    Ok(Target::UsersForFolder { folder: both.0, inherited: both.1 })
}

/// A client's text in an answer, but not all of a long one.
pub fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_parameters_are_read_from_parentheses() {
        let namespace = NAMESPACE;
        let cases = [
            ("odata/Folders".to_owned(), Target::Folders),
            ("odata/Folders(12)".to_owned(), Target::Folder(12)),
            (format!("odata/Folders(3)/{namespace}RemoveUserFromFolder"), Target::RemoveUserFromFolder(3)),
            (
                format!("odata/Folders/{namespace}GetUsersForFolder(key=7,includeInherited=true)"),
                Target::UsersForFolder { folder: 7, inherited: true },
            ),
            (
                format!("odata/Folders/{namespace}GetUsersForFolder(includeInherited=false, key=7)"),
                Target::UsersForFolder { folder: 7, inherited: false },
            ),
            (format!("odata/Users(1)/{namespace}AssignRoles"), Target::AssignRoles(1)),
            ("api/DirectoryService/GetDomains".to_owned(), Target::Domains),
        ];
        for (path, target) in cases {
            assert_eq!(Target::read(&path).unwrap(), target, "{path}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_never_guessed() {
        for path in ["", "odata/Nothing", "odata/Folders(1)/Nothing", "api/DirectoryService/Nothing", "odata/Folders/"]
        {
            assert!(matches!(Target::read(path), Err(Refusal::NoSuchAddress)), "{path}");
        }
        let function = format!("odata/Folders/{NAMESPACE}GetUsersForFolder");
        let wrong = ["odata/Folders(", "odata/Folders(x)", "odata/Folders(99999999999999999999)", "odata/Folders()"];
        let parameters = ["(key=1)", "(key=1,key=1)", "(key=1,includeInherited=maybe)", "()"];
        let parameters = parameters.map(|parameters| format!("{function}{parameters}"));
        for path in wrong.iter().map(|path| (*path).to_owned()).chain(parameters) {
            assert!(matches!(Target::read(&path), Err(Refusal::Coded { code: 1000, .. })), "{path}");
        }
    }
}
