//! The administrator's credentials, given out as a Kubernetes Secret manifest.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::Error;

/// The name of the Secret in the manifest; also how a file is known to be one of ours.
const SECRET_NAME: &str = "local-cloud-admin";

/// What stands at the path before anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No file.
    Nothing,
    /// The credentials of this very client.
    These,
    /// A manifest of ours with the credentials of another client: of a stand-in that kept nothing, for example.
    Others,
}

/// Looks at `path`. A file that isn't a manifest of ours is an error, because it would be overwritten.
pub fn find(path: &Path, client_id: Option<&str>) -> Result<Found, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(source) => return Err(Error::Credentials { path: path.to_owned(), source }),
    };
    if !text.contains(SECRET_NAME) {
        return Err(Error::ForeignFile { path: path.to_owned() });
    }
    Ok(if client_id.is_some_and(|id| text.contains(id)) { Found::These } else { Found::Others })
}

/// Writes the manifest with mode 0600: beside `path` first and then in its place, so that no reader and no kill
/// leaves half a file.
pub fn write(path: &Path, client_id: &str, secret: &SecretString) -> Result<(), Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = || -> io::Result<()> {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(manifest(client_id, secret).as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(|source| Error::Credentials { path: path.to_owned(), source })
}

/// JSON strings are YAML strings, so the quotes hold whatever the secret contains.
fn manifest(client_id: &str, secret: &SecretString) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {SECRET_NAME}\ntype: Opaque\nstringData:\n  \
         client-id: {}\n  client-secret: {}\n",
        serde_json::Value::from(client_id),
        serde_json::Value::from(secret.expose_secret()),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_manifest_is_for_its_owner_only_and_is_known_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.yaml");
        assert_eq!(find(&path, Some("id-1")).unwrap(), Found::Nothing);
        write(&path, "id-1", &SecretString::from("a\"%\\b")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(find(&path, Some("id-1")).unwrap(), Found::These);
        assert_eq!(find(&path, Some("id-2")).unwrap(), Found::Others);
        assert_eq!(find(&path, None).unwrap(), Found::Others);
    }

    #[test]
    fn a_file_of_somebody_else_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.txt");
        fs::write(&path, "my notes").unwrap();
        assert!(matches!(find(&path, None), Err(Error::ForeignFile { .. })));
    }

    #[test]
    fn the_manifest_is_yaml_with_the_very_secret() {
        #[derive(serde::Deserialize)]
        struct Manifest {
            #[serde(rename = "stringData")]
            string_data: std::collections::BTreeMap<String, String>,
        }
        let text = manifest("id-1", &SecretString::from("#a: \"%\\b&"));
        let read: Manifest = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read.string_data["client-id"], "id-1");
        assert_eq!(read.string_data["client-secret"], "#a: \"%\\b&");
    }
}
