# SPDX-License-Identifier: Apache-2.0
"""STS slow, down, lying or refusing: the join reports the reason, and other joins succeed."""
import socket
import socketserver
import threading
import time

import grpc
import pytest

from harness import TIMEOUT, Cluster, iam_token, wait_until
from join_client import Peer, audited, host_params, solution
from signing import sign
from test_http_proxy import copy

Code = grpc.StatusCode


@pytest.fixture(scope="module", autouse=True)
def unanswered(shared, aws_process):
    """A join with an STS request that is never answered: it is pending during all other tests of this file."""
    aws_process.reset()
    env = aws_process.identity()
    aws_process.sts_mode("hang")
    with Peer(shared) as peer:
        stream = ask(peer, "unanswered", env)
        wait_until(lambda: [r for r in aws_process.requests() if r["outcome"] == "hang"], "STS is asked")
        yield stream


@pytest.fixture
def peer(shared):
    with Peer(shared) as peer:
        yield peer


def ask(peer, name, env):
    """A join up to the request to STS."""
    stream = peer.join()
    challenge = stream.challenge(host_params(name))
    return stream.send(solution(sign(env, challenge)))


def joins(peer, name, env):
    return ask(peer, name, env).result().host_id


def refusal(peer, name, env):
    """How it was refused: (the error, the audit event)."""
    refused = ask(peer, name, env).refusal()
    event = audited(peer.cluster, refused)
    assert (event["check"], event["success"], event["node_name"]) == ("sts", False, name)
    return refused, event


UNREACHABLE = (Code.UNAVAILABLE, "could not be reached")
PROVES_NOTHING = (Code.PERMISSION_DENIED, "sent an answer that does not prove an identity")


@pytest.mark.parametrize("mode, expected, detail, questions", [
    ("throttle", UNREACHABLE, "Throttling", 2),
    ("down", UNREACHABLE, "ServiceUnavailable", 2),
    ("reset", UNREACHABLE, "broke", 2),
    ("html", PROVES_NOTHING, "JSON", 1),
    ("xml", PROVES_NOTHING, "JSON", 1),
    ("twice", PROVES_NOTHING, "JSON", 1),
    ("empty", PROVES_NOTHING, "JSON", 1),
    ("huge", PROVES_NOTHING, "more than", 1),
    ("lie-account", PROVES_NOTHING, "another account", 1),
    ("type text/html", PROVES_NOTHING, "Content-Type", 1),
    ("type text/plain; application/json", PROVES_NOTHING, "Content-Type", 1),
    ("encoded", PROVES_NOTHING, "encoded", 1),
    ("beside", PROVES_NOTHING, "error", 1),
    ("within", PROVES_NOTHING, "error", 1),
    ("second", PROVES_NOTHING, "more than one identity", 1),
    ("lengths", PROVES_NOTHING, "twice", 1),
    ("smuggled", PROVES_NOTHING, "twice", 1),
    ("cut", UNREACHABLE, "broke", 2),
    ("short", UNREACHABLE, "broke", 2),
    ("chunks", UNREACHABLE, "broke", 2),
])
def test_no_answer_but_a_good_one_counts(peer, aws, mode, expected, detail, questions):
    env = aws.identity()
    mode, _, content_type = mode.partition(" ")
    aws.sts_mode(mode, content_type=content_type)
    refused, event = refusal(peer, f"host-{mode}", env)
    assert refused.code() == expected[0]
    assert expected[1] in refused.details()
    assert "sts.us-east-1.amazonaws.com" in refused.details()
    assert detail in event["causes"][0]
    assert detail not in refused.details()
    assert len([r for r in aws.requests() if r["outcome"] == mode]) == questions


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_the_forms_of_json_that_aws_sends_are_believed(peer, aws, content_type):
    env = aws.identity()
    aws.sts_mode("type", content_type=content_type)
    assert joins(peer, "json", env)


def test_an_answer_that_tls_ends_is_whole(peer, aws):
    env = aws.identity()
    aws.sts_mode("ended")
    assert joins(peer, "ended", env)


@pytest.mark.parametrize("code", ["ExpiredToken", "TokenIQoJb3JpZ2lu"])
def test_nothing_that_sts_writes_is_repeated(shared, peer, aws, code):
    env = aws.identity()
    token = env["AWS_SESSION_TOKEN"]
    aws.sts_mode("leak", code=code)
    refused, event = refusal(peer, "leaking", env)
    assert refused.code() == Code.PERMISSION_DENIED
    known = code if code == "ExpiredToken" else "an unknown code"
    assert known in refused.details() and known in event["error"]
    for said in (refused.details(), str(event), shared.process.text()):
        assert token[:10] not in said and "TokenIQ" not in said


def test_a_join_makes_two_sts_requests_at_most(peer, aws):
    env = aws.identity()
    aws.sts_mode("held")
    streams = [ask(peer, f"keeper-{number}", env) for number in range(4)]
    wait_until(lambda: len([r for r in aws.requests() if r["outcome"] == "arrived"]) == 4, "STS is asked by all")
    aws.sts_mode("ok")
    for stream in streams:
        assert stream.result().host_id
    assert len({r["peer"] for r in aws.requests() if r["outcome"] == "ok"}) == 4
    aws.sts_mode("reused")
    assert joins(peer, "waiting-keeper", env)
    assert len([r for r in aws.requests() if r["outcome"] == "reused"]) <= 2
    aws.sts_mode("reset")
    refusal(peer, "unlucky-keeper", env)
    assert len([r for r in aws.requests() if r["outcome"] == "reset"]) == 2


def test_a_silent_sts_host_delays_no_request_to_another(shared, aws):
    """More requests than may be pending, to a host that accepts them and never answers."""
    env, good = aws.identity(), aws.identity()
    silent = "sts.us-west-2.amazonaws.com"
    aws.sts_mode("ok", hosts={silent: {"mode": "hang"}})
    with Peer(shared) as peer, Peer(shared) as other:
        streams, begun = [], time.monotonic()
        for number in range(80):
            stream = peer.join()
            challenge = stream.challenge(host_params(f"silent-{number}"))
            streams.append(stream.send(solution(sign(env, challenge, region="us-west-2", host=silent))))
        wait_until(lambda: len([r for r in aws.requests() if r["outcome"] == "hang"]) >= 32, "it is asked")
        assert joins(other, "elsewhere", good)
        assert time.monotonic() - begun < 15, "it waited until the first requests had timed out"


@pytest.mark.parametrize("mode", ["throttle", "down", "reset"])
def test_trouble_that_passes_is_tried_again_within_the_join(peer, aws, mode):
    env = aws.identity()
    aws.sts_mode(mode, times=1)
    assert joins(peer, f"waiting-{mode}", env)
    assert len(aws.requests()) == 2


def test_a_slow_answer_is_waited_for(peer, aws):
    env = aws.identity()
    aws.sts_mode("slow", seconds=1)
    assert joins(peer, "slow", env)


def test_a_slow_answer_stops_no_other_join(peer, aws):
    env = aws.identity()
    aws.sts_mode("held", times=1)
    slow = ask(peer, "slow-one", env)
    wait_until(aws.requests, "STS is asked")
    assert joins(peer, "quick-one", env)
    peer.cluster.event("instance.join", success=True, node_name="quick-one")
    assert not [e for e in peer.cluster.events("instance.join") if e.get("node_name") == "slow-one"]
    aws.sts_mode("ok")
    assert slow.result().host_id


def test_a_redirect_is_not_followed(peer, aws):
    env = aws.identity()
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        aws.sts_mode("redirect", to=f"https://127.0.0.1:{elsewhere.getsockname()[1]}/")
        refused, event = refusal(peer, "redirected", env)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert refused.code() == Code.PERMISSION_DENIED
    assert "307" in event["causes"][0]


@pytest.mark.parametrize("change, code, hint", [
    ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch", "secret access key"),
    ({"AWS_ACCESS_KEY_ID": "ASIAEXAMPLEUNKNOWN00"}, "InvalidClientTokenId", "access key"),
    ({"AWS_SESSION_TOKEN": "wrong"}, "InvalidClientTokenId", "session token"),
    ("expired", "ExpiredToken", "expired"),
])
def test_a_refusal_of_sts_is_handed_on_with_a_hint(peer, aws, change, code, hint):
    env = aws.identity()
    if change == "expired":
        aws.state["keys"][env["AWS_ACCESS_KEY_ID"]]["expired"] = True
        aws.write()
    else:
        env.update(change)
    refused, event = refusal(peer, "refused", env)
    assert refused.code() == Code.PERMISSION_DENIED
    assert "refused the signature of this host" in refused.details()
    assert code in refused.details()
    assert hint in refused.details()
    assert code in event["error"]
    assert "attributes" not in event
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert env[name] not in refused.details() + str(event)


def test_both_sides_read_why_sts_refused(shared, aws):
    shared.process.mark()
    host = shared.host("forgetful", env={**aws.identity(), "AWS_SECRET_ACCESS_KEY": "another"}).start()
    line = host.process.wait_for(r"Can not join the cluster.*SignatureDoesNotMatch.*").group(0)
    assert "secret access key" in line
    shared.process.wait_for(r"Failure to join cluster occurred.*forgetful.*SignatureDoesNotMatch")
    wait_until(lambda: "SignatureDoesNotMatch" in (host.status()["last_error"] or ""), "the status says it")
    assert "SignatureDoesNotMatch" in host.teleport("status", f"--data-dir={host.data_dir}", check=False).out
    host.stop()


def test_an_agent_joins_when_sts_is_back(shared, aws):
    env = aws.identity()
    aws.sts_mode("down", times=2)
    host = shared.host("web-1", env=env).start()
    host.process.wait_for(r"Can not join the cluster.*could not be reached")
    host.wait_joined()
    host.stop()


def test_an_unanswered_sts_request_times_out_alone(shared, unanswered, aws):
    with Peer(shared) as peer:
        assert joins(peer, "meanwhile", aws.identity())
    refused = unanswered.refusal()
    event = audited(shared, refused)
    assert refused.code() == Code.UNAVAILABLE
    assert "in time" in event["causes"][0]
    assert (event["node_name"], event["check"]) == ("unanswered", "sts")


# ---- names --------------------------------------------------------------------------------------------------------

class Https(socketserver.ThreadingTCPServer):
    """The stand-in for STS where AWS's would be: on port 443."""
    allow_reuse_address = daemon_threads = True

    def __init__(self, address, port):
        self.port = port
        super().__init__((address, 443), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection(("127.0.0.1", self.server.port)) as upstream:
                threading.Thread(target=copy, args=(upstream, self.request), daemon=True).start()
                copy(self.request, upstream)


@pytest.fixture
def silent_resolver(aws, tmp_path):
    """
    A name server that receives and never answers, and a command that runs others where it is the only one; there
    sts.us-east-1.amazonaws.com is in /etc/hosts, as the stand-in.
    """
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.18.0.53", 53))
    server.settimeout(TIMEOUT)
    files = {"resolv.conf": "nameserver 127.18.0.53\n", "hosts": "127.0.0.1 localhost\n127.18.0.44 sts.us-east-1.amazonaws.com\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644)
    mount = 'mount --bind "$0/resolv.conf" /etc/resolv.conf && mount --bind "$0/hosts" /etc/hosts && exec "$@"'
    with Https("127.18.0.44", aws.sts_port) as https:
        yield server, ["unshare", "-m", "sh", "-c", mount, str(tmp_path)]
        https.shutdown()
    server.close()


def test_a_silent_resolver_delays_only_requests_that_need_it(build, aws, silent_resolver, tmp_path):
    server, inside = silent_resolver
    cluster = Cluster(build, aws, tmp_path / "cluster", auth={"aws": {}})
    cluster.inside = inside
    cluster.start()
    cluster.inside = []
    try:
        cluster.create(iam_token())
        with Peer(cluster) as peer, Peer(cluster) as other:
            stream = peer.join()
            challenge = stream.challenge(host_params("waits"))
            stream.send(solution(sign(aws.identity(), challenge, region="us-west-2", host="sts.us-west-2.amazonaws.com")))
            assert b"us-west-2" in server.recv(512), "the name is looked up"
            for number in range(3):
                assert joins(other, f"quick-{number}", aws.identity())
            assert stream.call.is_active(), "they waited until the name could not be found"
            refused = stream.refusal()
        assert refused.code() == Code.UNAVAILABLE
        assert "resolve" in audited(cluster, refused)["causes"][0]
    finally:
        cluster.stop()


def test_naming_a_silent_sts_host_counts_against_the_source(shared, aws):
    """After some of them each answer to that address is delayed more; others are answered at once."""
    env, good = aws.identity(), aws.identity()
    lost = "sts.us-west-2.amazonaws.com"
    aws.sts_mode("ok", hosts={lost: {"mode": "reset"}})
    with Peer(shared, source="127.9.0.1") as guilty, Peer(shared, source="127.9.0.2") as innocent:
        streams = []
        begun = time.monotonic()
        for number in range(45):
            stream = guilty.join()
            challenge = stream.challenge(host_params(f"lost-{number}"))
            streams.append(stream.send(solution(sign(env, challenge, region="us-west-2", host=lost))))
        assert {stream.refusal().code() for stream in streams} == {Code.UNAVAILABLE}
        assert time.monotonic() - begun > 1.5, "the last ones waited"

        def is_quick():
            begun = time.monotonic()
            return joins(innocent, "innocent", good) and time.monotonic() - begun < 2

        assert any(is_quick() for _ in range(10)), "each of them waited"
