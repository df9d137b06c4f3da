# SPDX-License-Identifier: Apache-2.0
"""STS slow, down, lying or refusing: the join says what it was, and the joins of others go through."""
import socket

import grpc
import pytest

from harness import Cluster, iam_token, wait_until
from join_client import Peer, audited, host_params, solution
from signing import sign

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def shared(build, aws_process, tmp_path_factory):
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("shared") / "cluster")
    cluster.start()
    cluster.create(iam_token())
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module", autouse=True)
def unanswered(shared, aws_process):
    """A join whose question STS never answers: it is under way during all other tests of this file."""
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
    """A join up to where STS is asked."""
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


UNREACHABLE = (Code.UNAVAILABLE, "could not be asked")
PROVES_NOTHING = (Code.PERMISSION_DENIED, "gave an answer that proves nothing")


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
])
def test_no_answer_but_a_good_one_counts(peer, aws, mode, expected, detail, questions):
    env = aws.identity()
    aws.sts_mode(mode)
    refused, event = refusal(peer, f"host-{mode}", env)
    assert refused.code() == expected[0]
    assert expected[1] in refused.details()
    assert "sts.us-east-1.amazonaws.com" in refused.details()
    assert detail in event["causes"][0]
    assert detail not in refused.details()
    assert len([r for r in aws.requests() if r["outcome"] == mode]) == questions


@pytest.mark.parametrize("mode", ["throttle", "down", "reset"])
def test_trouble_that_passes_is_tried_again_within_the_join(peer, aws, mode):
    env = aws.identity()
    aws.sts_mode(mode, times=1)
    assert joins(peer, f"patient-{mode}", env)
    assert len(aws.requests()) == 2


def test_a_slow_answer_is_waited_for(peer, aws):
    env = aws.identity()
    aws.sts_mode("slow", seconds=1)
    assert joins(peer, "slow", env)


def test_a_slow_answer_stops_no_other_join(peer, aws):
    env = aws.identity()
    aws.sts_mode("slow", seconds=2, times=1)
    slow = ask(peer, "slow-one", env)
    wait_until(aws.requests, "STS is asked")
    assert joins(peer, "quick-one", env)
    wait_until(lambda: [e["node_name"] for e in peer.cluster.events("instance.join")[-1:]] == ["quick-one"],
               "the quick one is written down before the slow one")
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
    assert "SignatureDoesNotMatch" in host.teleport("status", f"--data-dir={host.data_dir}").out
    host.stop()


def test_an_agent_joins_when_sts_is_back(shared, aws):
    env = aws.identity()
    aws.sts_mode("down", times=2)
    host = shared.host("web-1", env=env).start()
    host.process.wait_for(r"Can not join the cluster.*could not be asked")
    host.wait_joined()
    host.stop()


def test_a_question_without_answer_ends_in_time_and_stopped_no_other_join(shared, unanswered, aws):
    with Peer(shared) as peer:
        assert joins(peer, "meanwhile", aws.identity())
    refused = unanswered.refusal()
    event = audited(shared, refused)
    assert refused.code() == Code.UNAVAILABLE
    assert "in time" in event["causes"][0]
    assert (event["node_name"], event["check"]) == ("unanswered", "sts")
