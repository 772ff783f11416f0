//! Certificate authorities and what they sign, made for one test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

/// An authority; its certificate is in `NAME.crt` of a folder.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: PathBuf,
    name: String,
}

/// A certificate with its key, as two PEM files.
pub(crate) struct Signed {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(dir.join(format!("{name}.crt")), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), dir: dir.to_owned(), name: name.to_owned() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(format!("{}.crt", self.name))
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// For servers and clients on this machine; files `NAME.crt` and `NAME.key`.
    pub(crate) fn sign(&self, name: &str) -> Signed {
        self.signed(name, named(name, &["localhost", "127.0.0.1"]))
    }

    /// For another common name than that of the files.
    pub(crate) fn sign_as(&self, name: &str, common: &str) -> Signed {
        self.signed(name, named(common, &["localhost", "127.0.0.1"]))
    }

    /// The same, and long over.
    pub(crate) fn sign_expired(&self, name: &str) -> Signed {
        let mut params = named(name, &["localhost", "127.0.0.1"]);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.signed(name, params)
    }

    fn signed(&self, name: &str, mut params: CertificateParams) -> Signed {
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let signed = Signed {
            cert: self.dir.join(format!("{name}.crt")),
            key: self.dir.join(format!("{name}.key")),
        };
        fs::write(&signed.key, key.serialize_pem()).unwrap();
        fs::write(&signed.cert, certificate.pem()).unwrap();
        signed
    }
}

impl Signed {
    /// Key and certificate one behind the other.
    pub(crate) fn joined(&self) -> Vec<u8> {
        [fs::read(&self.key).unwrap(), fs::read(&self.cert).unwrap()].concat()
    }
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
