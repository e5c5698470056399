//! The site behind: its files, its certificate, and the origin that serves them.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::{
    pages::{self, Kind},
    peer::{Peer, free_port},
};

/// What stands in the tag-dense page where the origin puts another text each time.
const UNIQUE: &str = "<meta name=\"unique\" content=\"@unique@\">";

/// A folder with everything, and the origin.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) origin: Peer,
    /// The certificate in DER, to be trusted.
    pub(crate) certificate: Vec<u8>,
}

impl Site {
    /// Writes the files and starts the origin.
    pub(crate) fn build() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("site");
        fs::create_dir(&root).expect("a folder");
        write(&root, "1k.bin", &vec![b'k'; 1_000]);
        write(&root, "1m.bin", &(0..1_000_000u32).map(|n| (n % 251) as u8).collect::<Vec<_>>());
        let page = pages::page(Kind::Shop, 100_000, 7).replacen("<head>", &format!("<head>{UNIQUE}"), 1);
        write(&root, "page.html", page.as_bytes());
        write(&root, "big.html", pages::page(Kind::News, 10_000_000, 8).as_bytes());
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
            .and_then(|params| params.self_signed(&key))
            .expect("a certificate");
        write(folder.path(), "cert.pem", certificate.pem().as_bytes());
        write(folder.path(), "key.pem", key.serialize_pem().as_bytes());
        // Workers of nginx are somebody else.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("our folder");
        let port = free_port();
        let origin = Peer::start("origin", 0, folder.path(), &[("port", port)], &["nginx", "-c", "{conf}"]);
        Self { folder, origin, certificate: certificate.der().to_vec() }
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).expect("a file");
}
