# SPDX-License-Identifier: Apache-2.0
"""Applications: hosts that offer them, and who may see them."""
import contextlib
import json
import os
import signal
import subprocess

import pytest
import yaml

from app_client import AppConnection
from harness import TIMEOUT, Cluster, Process, Result, iam_token, program, wait_until
from tcp_server import TcpServer
from users import User, invite_url


@pytest.fixture(scope="module")
def cluster(build, aws_process, tmp_path_factory):
    cluster = Cluster(build, aws_process, tmp_path_factory.mktemp("apps") / "cluster")
    cluster.start()
    cluster.create(iam_token(roles=("Node", "App")))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def host(cluster, aws_process):
    """Offers two applications, and no SSH."""
    aws_process.reset()
    host = cluster.host("apps-1", env=aws_process.identity(), ssh={"enabled": "no"}, services={"app_service": {"enabled": "yes", "apps": [
        {"name": "files", "uri": "tcp://127.0.0.1:9", "description": "Shared files", "labels": {"env": "prod"}},
        {"name": "queue", "uri": "tcp://localhost:10", "labels": {"env": "dev"}},
    ]}})
    host.start()
    host.wait_signed()
    yield host
    host.stop()


def test_a_host_offers_the_applications_of_its_file(cluster, host):
    wait_until(lambda: len(cluster.json("apps", "ls")) == 2, "both are listed")
    listed = cluster.json("apps", "ls")
    assert [(s["metadata"]["name"], s["kind"], s["spec"]["hostname"], s["spec"]["app"]["spec"]["uri"]) for s in listed] == [
        ("files", "app_server", "apps-1", "tcp://127.0.0.1:9"), ("queue", "app_server", "apps-1", "tcp://localhost:10")]
    assert listed[0]["metadata"]["labels"]["env"] == "prod"
    assert "app" in host.process.children()


def test_they_are_listed_in_the_columns_of_teleport(cluster, host):
    wait_until(lambda: len(cluster.json("apps", "ls")) == 2, "both are listed")
    text = cluster.tctl("apps", "ls").out
    assert text.splitlines()[0].split("  ")[0] == "Host" and "Public Address" in text and "URI" in text, text
    only = cluster.tctl("apps", "ls", "env=dev", "--format=json")
    assert [s["metadata"]["name"] for s in json.loads(only.out)] == ["queue"]


def test_an_application_of_a_file_is_not_removed_by_tctl(cluster, host):
    wait_until(lambda: len(cluster.json("apps", "ls")) == 2, "both are listed")
    static = cluster.tctl("rm", "app/files", check=False)
    assert static.code == 1 and "hosts have it in teleport.yaml" in static.err and "tctl get app_server/files" in static.err, static
    for name in ("files", "apps-1/files", f"{host.host_id}/files"):
        server = cluster.tctl("rm", f"app_server/{name}", check=False)
        assert server.code == 1 and 'the host apps-1 is connected and announces the application "files" again' in server.err, server
        assert "remove the application from teleport.yaml there" in server.err and f"tctl rm node/{host.host_id}" in server.err, server
    text = cluster.tctl("get", "app_server/files").out
    made = cluster.tctl("create", "-f", stdin=text, check=False)
    assert made.code == 1 and "only hosts announce app_servers; create a resource of kind app" in made.err, made


def test_announcements_of_an_offline_host_are_removed(cluster, host):
    wait_until(lambda: len(cluster.json("apps", "ls")) == 2, "both are listed")
    os.kill(host.process.popen.pid, signal.SIGSTOP)  # the process `instance` must not be restarted, nor take leave of the cluster
    os.kill(host.process.children()["instance"], signal.SIGKILL)
    host.kill()
    wait_until(lambda: [s["spec"]["state"] for s in servers_of(cluster, "apps-1")] == ["offline"] * 2, "it is seen that the host is gone")
    assert cluster.tctl("rm", "app_server/files").out == 'app_server "apps-1/files" has been deleted\n'
    assert [s["metadata"]["name"] for s in servers_of(cluster, "apps-1")] == ["queue"]
    again = cluster.tctl("rm", f"app_server/{host.host_id}/files", check=False)
    assert again.code == 1 and "is not found" in again.err, again
    assert cluster.event("app_server.delete", name="files", node_name="apps-1")["host_id"] == host.host_id
    cluster.restart()  # the change is in the store, and hosts come back to the application
    assert [s["metadata"]["name"] for s in servers_of(cluster, "apps-1")] == ["queue"]
    host.start()
    wait_until(lambda: [s["spec"]["state"] for s in servers_of(cluster, "apps-1")] == ["online"] * 2, "the host announces both again")


# ---- resources of kind app

APP = """kind: app
version: v3
metadata: {{name: {name}, description: {description}, labels: {{{labels}}}}}
spec: {{uri: "{uri}"}}
"""


def app(name, uri="tcp://127.0.0.1:9", description="", labels="env: test"):
    return APP.format(name=name, uri=uri, description=description, labels=labels)


def test_an_administrator_writes_applications(cluster):
    assert cluster.tctl("create", stdin=app("wiki")).out == 'application "wiki" has been created\n'
    again = cluster.tctl("create", stdin=app("wiki", "tcp://127.0.0.1:10"), check=False)
    assert again.code == 1 and 'app "wiki" already exists' in again.err, again
    stored, = cluster.json("get", "app/wiki")
    assert stored["metadata"]["labels"] == {"env": "test", "teleport.dev/origin": "dynamic"}
    text = cluster.tctl("get", "app/wiki").out
    assert "updated" in cluster.create(text.replace(":9", ":10")).out
    stale = cluster.tctl("create", "-f", stdin=text, check=False)
    assert stale.code == 1 and "changed by another user" in stale.err, stale
    assert cluster.json("get", "apps")[0]["spec"]["uri"] == "tcp://127.0.0.1:10"
    assert cluster.tctl("rm", "app/wiki").out == 'app "wiki" has been deleted\n'
    assert cluster.tctl("get", "app/wiki", check=False).code == 1
    deleted = cluster.event("app.delete", name="wiki")
    created, updated = cluster.event("app.create", name="wiki"), cluster.event("app.update", name="wiki")
    assert [e["code"] for e in (created, updated, deleted)] == ["TAP03I", "TAP04I", "TAP05I"]
    assert updated["app_uri"] == "tcp://127.0.0.1:10" and created["app_labels"]["env"] == "test"


# ---- hosts that offer resources

def echo(connection):
    with contextlib.suppress(OSError):
        while data := connection.recv(65536):
            connection.sendall(data)


def shout(connection):
    with contextlib.suppress(OSError):
        while data := connection.recv(65536):
            connection.sendall(data.upper())


@pytest.fixture(scope="module")
def servers():
    with TcpServer(echo) as echoing, TcpServer(shout) as shouting:
        yield echoing.addr, shouting.addr


@pytest.fixture(scope="module")
def picker(cluster, aws_process, servers):
    """Offers two applications of its file, and the resources of two teams."""
    aws_process.reset()
    (cluster.dir / "tier").write_text("gold\n")
    own = [{"name": "own", "uri": f"tcp://{servers[0]}", "labels": {"tier": "none"},
            "commands": [{"name": "tier", "command": ["/bin/cat", str(cluster.dir / "tier")], "period": "1s"}]}, {"name": "spare", "uri": f"tcp://{servers[0]}"}]
    host = cluster.host("picker", env=aws_process.identity(), ssh={"enabled": "no"}, services={"app_service": {
        "enabled": "yes", "apps": own, "resources": [{"labels": {"team": ["web-*", "db"], "env": "prod"}}]}})
    host.start()
    host.wait_joined()
    wait_until(lambda: offered(cluster) == {"own", "spare"} and reached(cluster), "those of its file are reached")
    yield host
    host.stop()


@pytest.fixture(scope="module")
def ann(cluster, picker, tmp_path_factory):
    words = cluster.tctl("users", "add", "ann", "--roles=access", "--logins=root").out
    user = User(cluster, "ann", tmp_path_factory.mktemp("homes")).accept(invite_url(words))
    user.login()
    return user


def servers_of(cluster, host="picker"):
    return [s for s in cluster.json("get", "app_servers") if s["spec"]["hostname"] == host]


def offered(cluster):
    return {s["metadata"]["name"] for s in servers_of(cluster)}


def reached(cluster):
    return all(s["spec"]["state"] == "online" for s in servers_of(cluster))


def dynamic(cluster, name, addr, team="web-1", env="prod"):
    cluster.create(app(name, f"tcp://{addr}", labels=f"team: {team}, env: {env}"))


def test_a_host_offers_the_resources_that_it_matches(cluster, picker, ann, servers):
    dynamic(cluster, "other", servers[0], team="ops")
    dynamic(cluster, "trial", servers[0], env="dev")
    dynamic(cluster, "tables", servers[0], team="db")
    dynamic(cluster, "shop", servers[0])
    wait_until(lambda: offered(cluster) == {"own", "spare", "tables", "shop"}, "the matching ones are offered")
    origins = {s["metadata"]["name"]: s["metadata"]["labels"]["teleport.dev/origin"] for s in servers_of(cluster)}
    assert origins == {"own": "config-file", "spare": "config-file", "tables": "dynamic", "shop": "dynamic"}
    with AppConnection(ann, "shop") as shop:
        assert shop.echoes()
        cluster.create(app("shop", f"tcp://{servers[0]}", "Sells things", "team: web-2, env: prod"))
        dynamic(cluster, "tables", servers[0], team="ops")
        wait_until(lambda: offered(cluster) == {"own", "spare", "shop"}, "one matches no more")
        assert shop.echoes(), "its labels are other ones, its address is the same"
    for name in ("other", "trial", "tables", "shop"):
        cluster.tctl("rm", f"app/{name}")
    wait_until(lambda: offered(cluster) == {"own", "spare"}, "no resource is left")


def test_listings_have_the_public_address(cluster, picker, ann, servers):
    cluster.create({"kind": "app", "version": "v3", "metadata": {"name": "pages", "labels": {"team": "web-1", "env": "prod"}},
                    "spec": {"uri": f"http://{servers[0]}", "public_addr": "pages.example.org"}})
    wait_until(lambda: "pages" in offered(cluster), "it is offered")
    assert all("pages.example.org" in text for text in (ann.tsh("apps", "ls").out, cluster.tctl("apps", "ls").out, cluster.tctl("get", "apps", "--format=text").out))
    url = f"https://pages.example.org:{cluster.proxy_addr.rsplit(':', 1)[1]}\n"
    assert ann.tsh("apps", "login", "pages").out.endswith(f" {url}"), "also for a login at the address of the proxy"
    assert ann.tsh("apps", "config", "pages", "--format=uri").out == url
    ann.tsh("apps", "logout")
    assert "https_keypairs" in cluster.process.wait_for("No web certificate of this proxy has the public_addr.*pages.example.org.*").group(0)
    cluster.tctl("rm", "app/pages")


def test_resources_have_several_ports_too(cluster, picker, ann, servers):
    ports = [int(addr.rsplit(":", 1)[1]) for addr in servers]

    def put(*offered):
        cluster.create({"kind": "app", "version": "v3", "metadata": {"name": "many", "labels": {"team": "web-1", "env": "prod"}},
                        "spec": {"uri": "tcp://127.0.0.1", "tcp_ports": [{"port": port} for port in offered]}})

    def dial(port):
        return AppConnection(ann, "many", port=port, announced=f"{port}.many.app.cteleport")

    put(*ports)
    wait_until(lambda: "many" in offered(cluster), "it is offered")
    with dial(ports[0]) as quiet, dial(ports[1]) as loud:
        assert quiet.echoes()
        loud.send(b"loud")
        assert loud.receive(4) == b"LOUD"
        put(ports[0])
        assert loud.receive(1) == b"", "its port is gone"
        assert quiet.echoes(), "the other port is still there"
    wait_until(lambda: (refused := dial(ports[1])).status == 400 and "has no port" in refused.text, "the port is gone for new connections")
    wrong = cluster.tctl("create", "-f", stdin={"kind": "app", "version": "v3", "metadata": {"name": "many"}, "spec": {"uri": f"tcp://{servers[0]}", "tcp_ports": [{"port": 1}]}},
                         check=False)
    assert wrong.code == 1 and "has a port beside tcp_ports" in wrong.err and "write uri: tcp://HOST" in wrong.err, wrong
    cluster.tctl("rm", "app/many")


def test_connections_end_with_their_application(cluster, picker, ann, servers):
    dynamic(cluster, "shop", servers[0])
    wait_until(lambda: "shop" in offered(cluster), "it is offered")
    with AppConnection(ann, "shop") as shop, AppConnection(ann, "own") as own:
        assert shop.echoes() and own.echoes()
        dynamic(cluster, "shop", servers[1])
        assert shop.receive(1) == b"", "its address has changed"
        with AppConnection(ann, "shop") as again:
            again.send(b"loud")
            assert again.receive(4) == b"LOUD"
            cluster.tctl("rm", "app/shop")
            assert again.receive(1) == b""
        assert own.echoes(), "others go on"
    ends = wait_until(lambda: [e for e in cluster.events("app.session.end") if e["app_name"] == "shop" and "does not offer" in e.get("reason", "")], "the reason is audited")
    assert ends[0]["reason"] == "this host does not offer the application any more"


def test_resources_stay_when_the_instance_process_is_killed(cluster, picker, ann, servers):
    dynamic(cluster, "shop", servers[0])
    wait_until(lambda: "shop" in offered(cluster), "it is offered")
    with AppConnection(ann, "shop") as shop:
        assert shop.echoes()
        os.kill(picker.process.children()["instance"], signal.SIGKILL)
        dynamic(cluster, "tables", servers[0], team="db")
        wait_until(lambda: offered(cluster) == {"own", "spare", "shop", "tables"}, "the new process follows the resources")
        assert shop.echoes(), "the connection went on"
    for name in ("tables", "shop"):
        cluster.tctl("rm", f"app/{name}")


def test_the_file_wins_over_a_resource_with_a_warning(cluster, picker, ann, servers):
    made = cluster.create(app("own", f"tcp://{servers[1]}", labels="team: db, env: prod"))
    assert "WARNING: 1 host offers an application of this name in teleport.yaml and not this one" in made.err
    picker.process.wait_for(r"the application 'own' of teleport.yaml is offered, and the resource of this name")
    wait_until(lambda: "WARNING: own: picker offers the one of its teleport.yaml" in cluster.tctl("apps", "ls").out, "listings have it")
    with AppConnection(ann, "own") as own:
        assert own.echoes(), "not the one that shouts"
    cluster.tctl("rm", "app/own")
    wait_until(lambda: "WARNING" not in cluster.tctl("apps", "ls").out, "nothing is hidden any more")


TIER = "kind: role\nversion: v7\nmetadata: {name: tier}\nspec: {allow: {app_labels: {tier: gold}}}\n"


def tier_of(cluster):
    return {s["metadata"]["name"]: s["metadata"]["labels"].get("tier") for s in servers_of(cluster)}


def test_a_command_gives_an_application_a_label(cluster, picker, tmp_path):
    cluster.create(TIER)
    words = cluster.tctl("users", "add", "bob", "--roles=tier", "--logins=root").out
    bob = User(cluster, "bob", tmp_path).accept(invite_url(words))
    bob.login()
    wait_until(lambda: tier_of(cluster) == {"own": "gold", "spare": None}, "the output is the value, in place of the one of the file")
    assert "tier=gold" in cluster.tctl("apps", "ls").out and "tier=gold" in bob.tsh("apps", "ls").out
    with AppConnection(bob, "own") as own:
        assert own.echoes()
        (cluster.dir / "tier").write_text("lead\n")
        wait_until(lambda: tier_of(cluster)["own"] == "lead", "the output is another one")
        assert own.echoes(), "labels count at the next decision"
    refused = AppConnection(bob, "own")
    assert refused.status != 200 and "there is no app 'own'" in refused.text
    (cluster.dir / "tier").write_text("gold\n")
    wait_until(lambda: tier_of(cluster)["own"] == "gold", "it is gold again")
    refused = cluster.tctl("create", stdin=app("shop").replace("spec: {", "spec: {dynamic_labels: {x: {command: [id]}}, "), check=False)
    assert refused.code != 0 and "'spec.dynamic_labels' is a key of Teleport that this release does not have" in refused.err


def test_a_reload_changes_applications_and_ends_no_others(cluster, picker, ann, servers):
    service = picker.config["app_service"]

    def load(app):
        service["apps"] = [service["apps"][0], app]
        picker.config_path.write_text(yaml.safe_dump(picker.config))
        assert picker.teleport("reload", "-c", picker.config_path).code == 0

    with AppConnection(ann, "own") as own, AppConnection(ann, "spare") as spare:
        assert own.echoes() and spare.echoes()
        load({"name": "fresh", "uri": f"tcp://{servers[1]}"})
        assert spare.receive(1) == b""
        wait_until(lambda: offered(cluster) == {"own", "fresh"}, "the file has others")
        assert own.echoes()
    with AppConnection(ann, "fresh") as fresh:
        fresh.send(b"loud")
        assert fresh.receive(4) == b"LOUD"
        ports = [int(addr.rsplit(":", 1)[1]) for addr in servers]
        load({"name": "fresh", "uri": "tcp://127.0.0.1", "tcp_ports": [{"port": port} for port in ports]})
        assert fresh.receive(1) == b"", "its uri has changed"

    def dial(port):
        return AppConnection(ann, "fresh", port=port, announced=f"{port}.fresh.app.cteleport")

    wait_until(lambda: dial(ports[0]).status == 200, "it has ports")
    with dial(ports[0]) as quiet, dial(ports[1]) as loud:
        loud.send(b"loud")
        assert quiet.echoes() and loud.receive(4) == b"LOUD"
        load({"name": "fresh", "uri": "tcp://127.0.0.1", "tcp_ports": [{"port": ports[0]}]})
        assert loud.receive(1) == b"" and quiet.echoes()


def test_app_start_offers_the_application_of_its_flags(cluster, aws_process):
    """Its file has SSH and no application; the proxy is the one of the flags."""
    aws_process.reset()
    host = cluster.host("flags", env=aws_process.identity())
    del host.config["teleport"]["proxy_server"]
    host.config_path.write_text(yaml.safe_dump(host.config))
    flags = ["-c", host.config_path, "--name=wiki", "--uri=tcp://127.0.0.1:9", "--labels=env=test,note=\"a, b\"", f"--auth-server={cluster.proxy_addr}", "--insecure"]
    host.process = Process([program(cluster.build, "teleport"), "app", "start", *flags], host.dir / "host.log", host.env)
    wait_until(lambda: [s["spec"]["state"] for s in servers_of(cluster, "flags")] == ["online"], "the application is reached")
    offer, = servers_of(cluster, "flags")
    assert offer["metadata"]["name"] == "wiki" and (offer["metadata"]["labels"]["env"], offer["metadata"]["labels"]["note"]) == ("test", "a, b")
    assert "app" in host.process.children() and "ssh" not in host.process.children()
    assert "service protocol" in host.teleport("app", "check-upgrade", *flags).out
    host.stop()


def configure(build, *args):
    return Result(subprocess.run([program(build, "teleport"), "configure", *args], capture_output=True, text=True, timeout=TIMEOUT, check=False))


def test_configure_writes_an_application_service_that_starts(build, tmp_path):
    def written(*args):
        done = configure(build, "--proxy=proxy.example.com:443", f"--data-dir={tmp_path}", *args)
        assert done.code == 0, done.err
        (tmp_path / "teleport.yaml").write_text(done.out)
        assert configure(build, f"--test={tmp_path}/teleport.yaml").code == 0
        return yaml.safe_load(done.out)["app_service"]

    assert written("--roles=app") == {"enabled": "yes", "resources": [{"labels": {"*": "*"}}]}
    assert written("--app-name=queue", "--app-uri=tcp://127.0.0.1:5672") == {"enabled": "yes", "apps": [{"name": "queue", "uri": "tcp://127.0.0.1:5672"}]}
    assert "--app-name and --app-uri belong together" in configure(build, "--app-name=queue").err
    assert "must be a valid DNS subdomain" in configure(build, "--app-name=Queue", "--app-uri=tcp://a:1").err


def test_a_host_offers_as_many_labels_and_ports_as_permitted(cluster, aws_process):
    """As many as LIMIT_APPS_ROWS in LIMIT_APPS applications; one more is refused where it is written."""
    aws_process.reset()

    def app(n, ports):
        return {"name": f"app-{n}", "uri": "tcp://127.0.0.1", "labels": {f"key-{n}": "value" for n in range(9)}, "tcp_ports": [{"port": 1000 + n} for n in range(ports)]}

    apps = [app(n, 3 if n < 92 else 2) for n in range(128)]
    assert sum(len(app["labels"]) + len(app["tcp_ports"]) for app in apps) == 1500
    host = cluster.host("many", env=aws_process.identity(), ssh={"enabled": "no"}, services={"app_service": {"enabled": "yes", "apps": apps}})
    host.start()
    wait_until(lambda: len(servers_of(cluster, "many")) == 128, "all are listed")
    host.stop()
    host.config["app_service"]["apps"][127] = app(127, 3)
    host.start()
    host.process.wait_for("app_service.apps has more than 1500 labels and ports")
    assert host.process.popen.wait(TIMEOUT) == 1
    host.process = None
