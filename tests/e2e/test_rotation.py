# SPDX-License-Identifier: Apache-2.0
"""The cluster's CAs: exported for other programs, and rotated while everything goes on."""
import subprocess

from harness import TIMEOUT


def openssl(*args, text=""):
    done = subprocess.run(["openssl", *map(str, args)], input=text, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


# ---- export ------------------------------------------------------------------------------------------------------


def test_the_cas_are_exported_for_openssh_and_openssl(shared, tmp_path):
    host, user = shared.tctl("auth", "export").out.splitlines()
    assert host.startswith("@cert-authority example.test,*.example.test ssh-ed25519 ") and host.endswith(" type=host")
    assert user.startswith("cert-authority ssh-ed25519 ") and user.endswith(" clustername=example.test&type=user")
    assert shared.tctl("auth", "export", "--type=host").out == host + "\n"
    compat = shared.tctl("auth", "export", "--type=host", "--compat=1.0").out
    assert compat.split()[:3] == ["cert-authority", *host.split()[2:4]] and compat.endswith(" clustername=example.test&type=host\n")

    (tmp_path / "user_ca.pub").write_text(" ".join(user.split()[1:3]) + "\n")
    fingerprint = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "user_ca.pub"], capture_output=True, text=True, check=True).stdout.split()[1]
    assert shared.tctl("auth", "export", f"--fingerprint={fingerprint}").out == user + "\n"
    assert "no CA has this fingerprint" in shared.tctl("auth", "export", "--fingerprint=SHA256:x", check=False).err
    assert "--fingerprint selects SSH keys" in shared.tctl("auth", "export", "--type=tls-user", "--fingerprint=x", check=False).err

    pin = openssl("x509", "-pubkey", "-noout", text=shared.tctl("auth", "export", "--type=tls-host").out)
    digest = subprocess.run("openssl pkey -pubin -outform DER | sha256sum", shell=True, input=pin, capture_output=True, text=True, check=True).stdout
    assert shared.ca_pin == "sha256:" + digest.split()[0]
    assert "Private" not in shared.tctl("auth", "export", "--keys", check=False).out


def test_an_empty_crl_is_signed_by_its_ca(shared, tmp_path):
    for kind in ("host", "user"):
        ca, crl = tmp_path / f"{kind}.pem", tmp_path / f"{kind}.crl"
        ca.write_text(shared.tctl("auth", "export", f"--type=tls-{kind}").out)
        crl.write_text(shared.tctl("auth", "crl", f"--type={kind}").out)
        assert "verify OK" in openssl("crl", "-in", crl, "-CAfile", ca, "-noout")
        assert "No Revoked Certificates" in openssl("crl", "-in", crl, "-text", "-noout")
