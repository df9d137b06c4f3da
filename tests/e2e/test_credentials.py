# SPDX-License-Identifier: Apache-2.0
"""Same files, same answer: `teleport aws identity` finds the AWS credentials that botocore finds."""
import json
import os
import subprocess

import botocore.session
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from harness import ACCOUNT, TIMEOUT, clean_env, program

ROLE = f"arn:aws:iam::{ACCOUNT}:role/app"
SECOND_ROLE = f"arn:aws:iam::{ACCOUNT}:role/second"
ASSUMED_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/app/session"


class Place:
    """A home directory, an environment and AWS around them; two programs search for credentials there."""

    def __init__(self, build, aws, directory):
        self.build, self.aws, self.home = build, aws, directory
        (directory / ".aws").mkdir()
        self.env = {"HOME": str(directory), "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
                    "AWS_CA_BUNDLE": aws.ca, "AWS_ENDPOINT_URL_STS": f"https://127.0.0.1:{aws.sts_port}",
                    "AWS_METADATA_SERVICE_TIMEOUT": "30"}  # on a busy machine; the usual second is in the unit tests
        self.keys = [aws.identity(), aws.identity(token=False)]
        aws.identity(arn=ASSUMED_ARN, key="ASIAASSUMEDEXAMPLE00")
        aws.identity(arn=ASSUMED_ARN, key="ASIASECONDEXAMPLE000")

    def file(self, name, text):
        path = self.home / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def config(self, text):
        self.file(".aws/config", text)

    def credentials(self, text):
        self.file(".aws/credentials", text)

    def without_region(self):
        del self.env["AWS_REGION"], self.env["AWS_DEFAULT_REGION"]

    def role(self, arn=ROLE, key="ASIAASSUMEDEXAMPLE00", **more):
        self.aws.state["roles"][arn] = {"key": key, **more}
        self.aws.write()

    def imds(self, **more):
        self.env.pop("AWS_EC2_METADATA_DISABLED")
        self.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = self.aws.imds_url
        self.aws.instance_role(self.keys[0], **more)

    def container(self, authorization=None):
        self.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{self.aws.imds_url}container/credentials"
        self.aws.state["container"] = {"key": self.keys[0]["AWS_ACCESS_KEY_ID"], "authorization": authorization}
        self.aws.write()

    def ours(self):
        """(exit code, the JSON); also checks that no secret is printed."""
        done = subprocess.run([program(self.build, "teleport"), "aws", "identity", "--format=json"], env=clean_env(**self.env),
                              capture_output=True, text=True, timeout=TIMEOUT)
        for entry in self.aws.state["keys"].values():
            for secret in filter(None, (entry["secret"], entry["token"])):
                assert secret not in done.stdout + done.stderr
        return done.returncode, json.loads(done.stdout)

    def botocores(self, monkeypatch):
        """(access key, region) as botocore finds them; None for a key: it has none."""
        for name in os.environ:
            if name.startswith("AWS_"):
                monkeypatch.delenv(name)
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)
        session = botocore.session.Session()
        create = session.create_client

        def at_the_stand_in(service, *args, **kwargs):  # this botocore does not know AWS_ENDPOINT_URL_STS yet
            return create(service, *args, **{**kwargs, "endpoint_url": self.env["AWS_ENDPOINT_URL_STS"]})

        session.create_client = at_the_stand_in
        found = session.get_credentials()
        return found and found.get_frozen_credentials().access_key, session.get_config_variable("region")


@pytest.fixture
def place(build, aws, tmp_path):
    return Place(build, aws, tmp_path)


def section(keys, name="default"):
    lines = [f"[{name}]", f"aws_access_key_id = {keys['AWS_ACCESS_KEY_ID']}", f"aws_secret_access_key = {keys['AWS_SECRET_ACCESS_KEY']}"]
    if "AWS_SESSION_TOKEN" in keys:
        lines.append(f"aws_session_token = {keys['AWS_SESSION_TOKEN']}")
    return "\n".join(lines) + "\n"


# Each arranges a place; the source that `teleport aws identity` must name stands beside it.

def environment(p):
    p.env.update(p.keys[1])


def environment_with_token(p):
    p.env.update(p.keys[0])


def environment_before_files(p):
    p.env.update(p.keys[0])
    p.credentials(section(p.keys[1]))


def credentials_file(p):
    p.credentials(section(p.keys[0]))


def credentials_file_elsewhere(p):
    p.env["AWS_SHARED_CREDENTIALS_FILE"] = str(p.file("elsewhere", section(p.keys[1])))


def config_file(p):
    p.config(section(p.keys[1]))


def credentials_file_before_config_file(p):
    p.credentials(section(p.keys[1]))
    p.config(section(p.keys[0]))


def named_profile(p):
    p.env["AWS_PROFILE"] = "prod"
    p.credentials(section(p.keys[0]) + section(p.keys[1], "prod"))


def named_profile_of_the_config_file(p):
    p.env.update(AWS_PROFILE="prod", AWS_CONFIG_FILE=str(p.file("aws-config", section(p.keys[1], "profile prod"))))


def comments_and_odd_spacing(p):
    p.credentials(f"# keys of the web hosts\n[default]\n\naws_access_key_id={p.keys[1]['AWS_ACCESS_KEY_ID']}\n; old\n"
                  f"aws_secret_access_key   =   {p.keys[1]['AWS_SECRET_ACCESS_KEY']}  \n[other]\naws_access_key_id = x\n")


def keys_of(keys, separator=" = ", indent=""):
    return "".join(f"{indent}{name.lower()}{separator}{value}\n" for name, value in keys.items())


def indented_keys(p):
    p.config("[profile p]\n" + keys_of(p.keys[0], indent="    ") + "    region = us-west-2\n")
    p.without_region()
    p.env["AWS_PROFILE"] = "p"


def indented_sections_and_tabs(p):
    p.credentials("  [other]\n  aws_access_key_id = x\n  [default]\n" + keys_of(p.keys[1], indent="\t"))


def indented_comments(p):
    p.without_region()
    p.config("[default]\nregion = us-west-2\n  # note\n\t; another\n" + keys_of(p.keys[1]))


def name_in_single_quotes(p):
    p.config("[profile 'my corp']\n" + keys_of(p.keys[1]))
    p.env["AWS_PROFILE"] = "my corp"


def name_in_double_quotes(p):
    p.config('[profile "my corp"]\n' + keys_of(p.keys[1]))
    p.env["AWS_PROFILE"] = "my corp"


def name_with_a_blank_in_credentials(p):
    p.credentials("[my corp]\n" + keys_of(p.keys[1]))
    p.env["AWS_PROFILE"] = "my corp"


def name_beyond_ascii(p):
    p.config("[profile b\u00fcro]\n" + keys_of(p.keys[1]))
    p.env["AWS_PROFILE"] = "b\u00fcro"


def text_behind_the_section(p):
    p.config("[profile p] /* text */\n" + keys_of(p.keys[1]))
    p.env["AWS_PROFILE"] = "p"


def colons_as_separators(p):
    p.credentials("[default]\n" + keys_of(p.keys[0], ": "))


def carriage_returns_as_line_ends(p):
    p.credentials(("[default]\n" + keys_of(p.keys[0])).replace("\n", "\r"))


def secret_key_alone_in_the_environment(p):
    p.env["AWS_SECRET_ACCESS_KEY"] = "left-over"
    p.credentials(section(p.keys[1]))


def variable_in_the_path(p):
    p.file("cc", section(p.keys[1]))
    p.env["AWS_SHARED_CREDENTIALS_FILE"] = "$HOME/cc"


def braced_variable_in_the_path(p):
    p.file("cc", section(p.keys[1]))
    p.env.update(WHERE=str(p.home), AWS_CONFIG_FILE="${WHERE}/${NOT_SET}", AWS_SHARED_CREDENTIALS_FILE="~/${EMPTY}cc", EMPTY="")


def role_by_source_profile(p):
    p.role()
    p.config(f"[default]\nrole_arn = {ROLE}\nsource_profile = base\n")
    p.credentials(section(p.keys[0], "base"))


def role_with_external_id(p):
    p.role(external_id="blue 7")
    p.config(f"[profile app]\nrole_arn = {ROLE}\nsource_profile = base\nexternal_id = blue 7\nrole_session_name = web\n")
    p.credentials(section(p.keys[0], "base"))
    p.env["AWS_PROFILE"] = "app"


def role_by_a_role(p):
    p.role()
    p.role(SECOND_ROLE, "ASIASECONDEXAMPLE000")
    p.config(f"[default]\nrole_arn = {SECOND_ROLE}\nsource_profile = app\n"
             f"[profile app]\nrole_arn = {ROLE}\nsource_profile = base\n")
    p.credentials(section(p.keys[0], "base"))


def role_by_the_environment(p):
    p.role()
    p.env.update(AWS_PROFILE="app")
    p.config(f"[profile app]\nrole_arn = {ROLE}\ncredential_source = Ec2InstanceMetadata\n")
    p.imds()


def credential_process(p):
    answer = json.dumps({"Version": 1, "AccessKeyId": p.keys[0]["AWS_ACCESS_KEY_ID"], "SecretAccessKey": p.keys[0]["AWS_SECRET_ACCESS_KEY"],
                         "SessionToken": p.keys[0]["AWS_SESSION_TOKEN"], "Expiration": "2099-01-01T00:00:00Z"})
    p.config(f"[default]\ncredential_process = /bin/cat \"{p.file('an answer', answer)}\"\n")


def web_identity(p):
    p.role(web_identity_token="eyJhbGciOi.example")
    p.env.update(AWS_WEB_IDENTITY_TOKEN_FILE=str(p.file("token", "eyJhbGciOi.example")), AWS_ROLE_ARN=ROLE)


def web_identity_of_a_profile(p):
    p.role(web_identity_token="eyJhbGciOi.example")
    p.config(f"[default]\nrole_arn = {ROLE}\nweb_identity_token_file = {p.file('token', 'eyJhbGciOi.example')}\n")


def container(p):
    p.container()


def container_with_a_token(p):
    p.container("Basic Zm9vOmJhcg==")
    p.env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "Basic Zm9vOmJhcg=="


def instance(p):
    p.imds()


def instance_with_v1_only(p):
    p.imds(v1=True, token_status=404)


def files_before_instance(p):
    p.imds()
    p.credentials(section(p.keys[1]))


SOURCES = [
    (environment, "environment"), (environment_with_token, "environment"), (environment_before_files, "environment"),
    (credentials_file, "profile 'default'"), (credentials_file_elsewhere, "elsewhere"), (config_file, ".aws/config"),
    (credentials_file_before_config_file, ".aws/credentials"), (named_profile, "profile 'prod'"),
    (named_profile_of_the_config_file, "profile 'prod'"), (comments_and_odd_spacing, "profile 'default'"),
    (indented_keys, "profile 'p'"), (indented_sections_and_tabs, "profile 'default'"), (indented_comments, "profile 'default'"),
    (name_in_single_quotes, "profile 'my corp'"), (name_in_double_quotes, "profile 'my corp'"),
    (name_with_a_blank_in_credentials, "profile 'my corp'"), (name_beyond_ascii, "profile 'b\u00fcro'"),
    (text_behind_the_section, "profile 'p'"), (colons_as_separators, "profile 'default'"),
    (carriage_returns_as_line_ends, "profile 'default'"), (secret_key_alone_in_the_environment, "profile 'default'"),
    (variable_in_the_path, "cc"), (braced_variable_in_the_path, "cc"),
    (role_by_source_profile, "profile 'default'"), (role_with_external_id, "profile 'app'"), (role_by_a_role, "profile 'default'"),
    (role_by_the_environment, "profile 'app'"), (credential_process, "credential_process"), (web_identity, "web identity"),
    (web_identity_of_a_profile, "profile 'default'"), (container, "container"), (container_with_a_token, "container"),
    (instance, "instance metadata"), (instance_with_v1_only, "instance metadata"), (files_before_instance, "profile 'default'"),
]


@pytest.mark.parametrize("arrange, source", SOURCES, ids=[arrange.__name__ for arrange, _ in SOURCES])
def test_we_and_botocore_find_the_same_credentials(place, monkeypatch, arrange, source):
    arrange(place)
    code, found = place.ours()
    assert code == 0, found
    theirs, region = place.botocores(monkeypatch)
    assert theirs is not None
    assert (found["access_key_id"], found["region"]) == (theirs, region)
    assert source in found["source"]
    assert found["error"] is None
    assert "returned credentials" in found["tried"][-1]["outcome"]


def test_a_token_file_opens_the_container_endpoint(place):
    place.container("Bearer of-the-pod")
    place.env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(place.file("pod-token", "Bearer of-the-pod"))
    assert place.ours()[1]["access_key_id"] == place.keys[0]["AWS_ACCESS_KEY_ID"]


def test_a_token_file_with_a_line_break_is_an_error(place):
    place.container("Bearer of-the-pod")
    place.env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(place.file("pod-token", "Bearer of-the-pod\n"))
    code, found = place.ours()
    assert code == 1
    assert "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE holds a line break" in found["error"]


# ---- broken sources: an error about the source, never the next source -----------------------------------

def half_an_environment(p):
    p.env["AWS_ACCESS_KEY_ID"] = p.keys[0]["AWS_ACCESS_KEY_ID"]


def no_such_profile(p):
    p.env["AWS_PROFILE"] = "prdo"


def half_a_profile(p):
    p.credentials("[default]\naws_access_key_id = AKIAEXAMPLE000000009\n")


def a_process_that_fails(p):
    p.config("[default]\ncredential_process = /bin/false\n")


def a_process_that_prints_garbage(p):
    p.config("[default]\ncredential_process = /bin/echo hello\n")


def a_process_that_prints_version_2(p):
    p.config("[default]\ncredential_process = /bin/echo '{\"Version\": 2, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"b\"}'\n")


def profiles_in_a_circle(p):
    p.config(f"[default]\nrole_arn = {ROLE}\nsource_profile = b\n[profile b]\nrole_arn = {ROLE}\nsource_profile = default\n")


def a_source_profile_that_is_not_there(p):
    p.config(f"[default]\nrole_arn = {ROLE}\nsource_profile = nobody\n")


def a_role_that_sts_refuses(p):
    p.config(f"[default]\nrole_arn = {ROLE}\nsource_profile = base\n")
    p.credentials(section(p.keys[0], "base"))


def a_web_identity_without_its_file(p):
    p.env.update(AWS_WEB_IDENTITY_TOKEN_FILE="/nonexistent/token", AWS_ROLE_ARN=ROLE)


def a_web_identity_that_sts_refuses(p):
    p.role(web_identity_token="another")
    p.env.update(AWS_WEB_IDENTITY_TOKEN_FILE=str(p.file("token", "eyJhbGciOi.example")), AWS_ROLE_ARN=ROLE)


def a_container_far_away(p):
    p.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://192.0.2.1/credentials"


def a_container_that_refuses(p):
    p.container("Basic other")


def a_config_file_that_is_none(p):
    p.config("aws_access_key_id = outside of any section\n")


BROKEN = [
    (half_an_environment, "AWS_SECRET_ACCESS_KEY is not"), (no_such_profile, "'prdo'"), (half_a_profile, "aws_secret_access_key"),
    (a_process_that_fails, "credential_process"), (a_process_that_prints_garbage, "credential_process"),
    (a_process_that_prints_version_2, "Version"), (profiles_in_a_circle, "profile"), (a_source_profile_that_is_not_there, "'nobody'"),
    (a_role_that_sts_refuses, "AccessDenied"), (a_web_identity_without_its_file, "/nonexistent/token"),
    (a_web_identity_that_sts_refuses, "InvalidIdentityToken"), (a_container_far_away, "192.0.2.1"),
    (a_container_that_refuses, "403"), (a_config_file_that_is_none, "config"),
]


@pytest.mark.parametrize("arrange, says", BROKEN, ids=[arrange.__name__ for arrange, _ in BROKEN])
def test_a_broken_source_is_an_error_as_in_botocore(place, monkeypatch, arrange, says):
    place.imds()  # has credentials, but the chain must end before this source
    arrange(place)
    code, found = place.ours()
    assert code == 1
    assert found["access_key_id"] is None
    assert says in found["error"]
    with pytest.raises((BotoCoreError, ClientError, ValueError, OSError)):
        assert place.botocores(monkeypatch)[0] is None


def test_without_any_source_each_is_named_with_its_reason(place, monkeypatch):
    code, found = place.ours()
    assert code == 1
    assert place.botocores(monkeypatch)[0] is None
    assert [tried["source"] for tried in found["tried"]] == ["environment", "web identity", "profile", "container", "instance metadata"]
    assert "AWS_EC2_METADATA_DISABLED is true" in found["error"]


def test_an_instance_without_a_role_says_so(place, monkeypatch):
    place.imds()
    place.aws.state["imds"] = {"region": "us-west-2"}
    place.aws.write()
    code, found = place.ours()
    assert code == 1
    assert "no IAM role is attached to this instance" in found["error"]
    assert place.botocores(monkeypatch)[0] is None


def test_a_missing_imds_token_is_reported_with_the_hop_limit(place):
    place.imds(v1=False, hop_limit=True)
    place.env["AWS_METADATA_SERVICE_TIMEOUT"] = "1"
    done = subprocess.run([program(place.build, "teleport"), "aws", "identity"], env=clean_env(**place.env), capture_output=True, text=True)
    assert done.returncode == 1
    assert "its answer to the request for one did not arrive" in done.stderr
    assert "HttpPutResponseHopLimit" in done.stderr


def test_v1_of_the_metadata_service_can_be_forbidden(place):
    instance_with_v1_only(place)
    place.env["AWS_EC2_METADATA_V1_DISABLED"] = "true"
    code, found = place.ours()
    assert (code, found["access_key_id"]) == (1, None)


# ---- region ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("env, config, region, source", [
    ({"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "eu-west-1"}, "", "us-west-2", "AWS_REGION"),
    ({"AWS_DEFAULT_REGION": "eu-west-1"}, "[default]\nregion = us-east-2\n", "eu-west-1", "AWS_DEFAULT_REGION"),
    ({}, "[default]\nregion = us-east-2\n", "us-east-2", "profile 'default'"),
    ({"AWS_PROFILE": "prod"}, "[default]\nregion = us-east-2\n[profile prod]\nregion = us-west-1\n", "us-west-1", "profile 'prod'"),
])
def test_the_region_comes_from(place, env, config, region, source):
    place.without_region()
    place.env.update({**place.keys[0], **env})
    place.config(config)
    _, found = place.ours()
    assert (found["region"], found["region_source"]) == (region, source)
    assert found["sts_host"] == f"sts.{region}.amazonaws.com"


def test_the_region_comes_from_the_instance(place):
    place.without_region()
    place.imds(region="eu-central-1")
    _, found = place.ours()
    assert (found["region"], found["region_source"]) == ("eu-central-1", "instance metadata")


def test_without_a_region_us_east_1_is_used_with_warning(place):
    place.without_region()
    place.env.update(place.keys[0])
    code, found = place.ours()
    assert (code, found["region"], found["region_source"]) == (0, "us-east-1", "default")
    assert any("AWS_REGION" in warning for warning in found["warnings"])


def test_fips_endpoints_are_used_when_asked_for(place):
    place.env.pop("AWS_ENDPOINT_URL_STS")
    place.env.update({**place.keys[0], "AWS_USE_FIPS_ENDPOINT": "true", "AWS_REGION": "us-west-2"})
    _, found = place.ours()
    assert (found["fips"], found["sts_host"]) == (True, "sts-fips.us-west-2.amazonaws.com")


def test_the_text_names_source_region_and_host_without_a_secret(place):
    place.env.update(place.keys[0])
    done = subprocess.run([program(place.build, "teleport"), "aws", "identity"], env=clean_env(**place.env), capture_output=True, text=True)
    assert done.returncode == 0
    for shown in ("environment", place.keys[0]["AWS_ACCESS_KEY_ID"], "us-east-1 (from AWS_REGION)", "sts.us-east-1.amazonaws.com"):
        assert shown in done.stdout
    assert place.keys[0]["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr
