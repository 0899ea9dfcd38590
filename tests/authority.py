"""Certificates, made for one test."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    """A CA, and the certificates that it gives."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.key, self.name = folder, ec.generate_private_key(ec.SECP256R1()), name
        self.certificate = self._sign(name, self.key.public_key(), DAY, is_authority=True)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def give(self, name: str, host: str, valid: timedelta = DAY, passphrase: str = "") -> tuple[Path, Path]:
        """Files with a certificate for `name`, at `host`, and with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._sign(name, key.public_key(), valid, host)
        paths = self.folder / f"{self.name}-{name}.crt", self.folder / f"{self.name}-{name}.key"
        paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        encryption = (
            serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
        )
        pem = serialization.PrivateFormat.PKCS8
        paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, pem, encryption))
        return paths

    def _sign(
        self, name: str, key: ec.EllipticCurvePublicKey, valid: timedelta, host: str = "", is_authority: bool = False
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now + valid)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )  # fmt: skip
        if host:
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return made.sign(self.key, hashes.SHA256())
