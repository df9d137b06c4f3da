/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/names_testing.h"
#include "resource/config.h"
#include "schema/schema.h"

enum { ARENA_CAP = 4 * MiB };

static Cteleport__V1__Config *config_of(struct arena *a, const char *yaml)
{
        ProtobufCMessage *msg = NULL;
        struct error *err = schema_load_yaml(a, "teleport.yaml", str_of(yaml), &cteleport__v1__config__descriptor, &msg);

        if (err != NULL)
                error_print(err);
        assert_null(err);
        return (Cteleport__V1__Config *)msg;
}

/* An agent of the guide, with more keys of `teleport:` after it. */
#define AGENT_OFF "version: v3\nssh_service: {enabled: yes}\nauth_service: {enabled: no}\nproxy_service: {enabled: no}\nteleport:\n"
#define AGENT AGENT_OFF "  proxy_server: teleport.example.com:443\n"
#define PIN "sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static Cteleport__V1__Config *accepted(struct arena *a, const char *yaml, struct config_warnings *warnings)
{
        Cteleport__V1__Config *config = config_of(a, yaml);
        struct error *err = config_check(config, a, warnings);

        if (err != NULL)
                error_print(err);
        assert_null(err);
        return config;
}

static void accepts_the_agent_of_the_guide_and_fills_in_defaults(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        struct config_warnings warnings = { 0 };
        Cteleport__V1__Config *c = accepted(a, AGENT "  join_params: {token_name: iam-token, method: iam}\n", &warnings);

        assert_int_equal(warnings.count, 0);
        assert_string_equal(c->teleport->data_dir, "/var/lib/teleport");
        assert_string_equal(c->teleport->proxy_server, "teleport.example.com:443");
        assert_string_equal(c->teleport->storage->path, "/var/lib/teleport/backend");
        assert_false(config_service_enabled(c, "auth"));
        assert_false(config_service_enabled(c, "proxy"));
        assert_true(config_service_enabled(c, "ssh"));
        assert_null(config_check(c, a, &warnings)); /* a second time changes nothing */
}

static void opens_a_port_for_other_proxies_only_where_they_relay(void **state)
{
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        Cteleport__V1__Config *mesh = accepted(a, "version: v3\nauth_service: {tunnel_strategy: {type: agent_mesh}}\n", NULL);
        Cteleport__V1__Config *peering = accepted(a, "version: v3\nauth_service: {tunnel_strategy: {type: proxy_peering}}\n"
                                                     "proxy_service: {peer_public_addr: proxy-1.example.com}\n", NULL);
        Cteleport__V1__Config *two = accepted(a, "version: v3\nauth_service: {tunnel_strategy: {type: Proxy_Peering, agent_connection_count: 2}}\n", NULL);
        Cteleport__V1__Config *alone = accepted(a, "version: v3\nproxy_service: {peer_listen_addr: 10.0.0.1}\n", NULL);

        (void)state;
        assert_string_equal(mesh->proxy_service->peer_listen_addr, "");
        assert_int_equal(config_agent_connections(mesh), 0);
        assert_string_equal(peering->proxy_service->peer_listen_addr, "0.0.0.0:3021");
        assert_string_equal(peering->proxy_service->peer_public_addr[0], "proxy-1.example.com:3021");
        assert_int_equal(config_agent_connections(peering), 1);
        assert_int_equal(config_agent_connections(two), 2);
        assert_string_equal(alone->proxy_service->peer_listen_addr, "10.0.0.1:3021");
        assert_int_equal(config_agent_connections(alone), 0);
}

static void enables_three_services_by_default(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        Cteleport__V1__Config *c = accepted(a, "", NULL);

        assert_true(config_service_enabled(c, "auth"));
        assert_true(config_service_enabled(c, "proxy"));
        assert_true(config_service_enabled(c, "ssh"));
        assert_string_equal(c->auth_service->listen_addr, "0.0.0.0:3025");
        assert_string_equal(c->proxy_service->web_listen_addr, "0.0.0.0:3080");
        assert_true(config_host_cert_ttl(c).ns == HOURS(24).ns);
        assert_true(config_heartbeat_ttl(c).ns == MINUTES(10).ns);
        assert_false(config_signs_tokens_by_es256(c));
        assert_true(config_signs_tokens_by_es256(accepted(a, "auth_service: {app_token_algorithm: es256}\n", NULL)));
        assert_false(config_signs_tokens_by_es256(accepted(a, "auth_service: {app_token_algorithm: RS256}\n", NULL)));
        c = accepted(a, "ssh_service:\nauth_service:\n", NULL);
        assert_true(config_service_enabled(c, "proxy"));
}

static const struct {
        const char *yaml, *auth_server, *proxy_server;
} servers[] = {
        { AGENT_OFF "  proxy_server: p.example.com", NULL, "p.example.com:3080" },
        { AGENT_OFF "  proxy_server: https://p.example.com:443/", NULL, "p.example.com:443" },
        { AGENT_OFF "  proxy_server: \"[2001:db8::1]:443\"", NULL, "[2001:db8::1]:443" },
        { AGENT_OFF "  proxy_server: \"2001:db8::1\"", NULL, "[2001:db8::1]:3080" },
        { AGENT_OFF "  auth_server: 10.0.0.1", "10.0.0.1:3025", NULL },
        { "auth_service: {enabled: no}", "127.0.0.1:3025", NULL },
        { "auth_service: {enabled: no}\nteleport: {auth_servers: a.example.com}", "a.example.com:3025", NULL },
        { "version: v2\nauth_service: {enabled: no}\nteleport: {auth_servers: [\"p.example.com:443\"]}", NULL,
          "p.example.com:443" },
        { "version: v3", NULL, NULL },
};

static void completes_the_addresses_of_servers(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);
                Cteleport__V1__Config *c = accepted(a, servers[i].yaml, NULL);

                print_message("  %s\n", servers[i].yaml);
                if (servers[i].auth_server == NULL)
                        assert_null(c->teleport->auth_server);
                else
                        assert_string_equal(c->teleport->auth_server, servers[i].auth_server);
                if (servers[i].proxy_server == NULL)
                        assert_null(c->teleport->proxy_server);
                else
                        assert_string_equal(c->teleport->proxy_server, servers[i].proxy_server);
        }
}

static const struct {
        const char *yaml, *what;
} refusals[] = {
        { "version: v4", "version 'v4' of the configuration is not supported" },
        { "version: v2\nteleport: {proxy_server: a}",
          "teleport.auth_server and teleport.proxy_server are supported from version v3 onwards" },
        { AGENT_OFF "  auth_servers: [a]", "teleport.auth_servers is not supported in version v3" },
        { AGENT "  auth_server: a", "only one of teleport.auth_server and teleport.proxy_server may be set" },
        { AGENT_OFF "  data_dir: /x", "auth_server or proxy_server is required" },
        { AGENT_OFF "  proxy_server: \":443\"", "teleport.proxy_server: ':443' cannot be connected to" },
        { AGENT_OFF "  proxy_server: \"a:0\"", "teleport.proxy_server: 'a:0' cannot be connected to" },
        { AGENT_OFF "  proxy_server: \"a:b:c\"", "teleport.proxy_server: 'a:b:c' is not an address" },
        { AGENT_OFF "  proxy_server: \"a:70000\"", "teleport.proxy_server: 'a:70000' is not an address" },
        { AGENT_OFF "  proxy_server: http://a", "teleport.proxy_server: 'http://a' is not an address" },
        { AGENT_OFF "  proxy_server: \"127.1:443\"", "teleport.proxy_server: '127.1:443' is not an address" },
        { AGENT_OFF "  proxy_server: \"a b:1\"", "teleport.proxy_server: 'a b:1' is not an address" },
        { AGENT_OFF "  proxy_server: \"[::1\"", "teleport.proxy_server: '[::1' is not an address" },
        { "ssh_service: {enabled: no}\nauth_service: {enabled: no}\nproxy_service: {enabled: no}",
          "at least one service must be enabled" },
        { AGENT "  auth_token: x\n  join_params: {token_name: tok}",
          "teleport.auth_token and teleport.join_params cannot both be set" },
        { AGENT "  join_params: {token_name: tok, method: kubernetes}",
          "teleport.join_params.method: join method 'kubernetes' is not supported by this release" },
        { AGENT "  join_params: {token_name: tok, method: x}", "teleport.join_params.method: there is no join method 'x'" },
        { AGENT "  ca_pin: abc", "teleport.ca_pin 'abc' is not a CA pin" },
        { AGENT "  ca_pin: [" PIN ", sha512" PIN "]",
          "teleport.ca_pin 'sha512" PIN "' is not a CA pin" },
        { AGENT "  nodename: \"a b\"", "teleport.nodename 'a b' is not a valid host name" },
        { AGENT "  data_dir: relative", "teleport.data_dir cannot be 'relative'" },
        { AGENT "  log: {severity: LOUD}", "teleport.log.severity cannot be 'LOUD'" },
        { AGENT "  log: {output: syslog}", "teleport.log.output cannot be 'syslog'" },
        { AGENT "  log: {format: {output: xml}}", "teleport.log.format.output cannot be 'xml'" },
        { AGENT "  log: {format: {extra_fields: [x]}}", "teleport.log.format.extra_fields cannot be 'x'" },
        { AGENT "  storage: {type: etcd}", "teleport.storage.type cannot be 'etcd'" },
        { "app_service: {enabled: yes}", "app_service is enabled and has no applications" },
        { "app_service: {enabled: yes, apps: [{uri: \"tcp://a:1\"}]}", "missing application name" },
        { "app_service: {enabled: yes, apps: [{name: Web, uri: \"tcp://a:1\"}]}", "application name \"Web\" must be a valid DNS subdomain" },
        { "app_service: {enabled: yes, apps: [{name: web}]}", "missing application \"web\" URI" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"tcp://a\"}]}", "app_service.apps[1]: the uri 'tcp://a' has no host and port to connect to" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"tcp://a:1\"}, {name: web, uri: \"tcp://b:1\"}]}", "app_service.apps: the application 'web' occurs twice" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"http://a\", tls: {ca_cert_file: /x}}]}", "app_service.apps[1].tls is for applications of https" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"https://a\", tls: {cert_file: /x}}]}", "app_service.apps[1].tls has one of cert_file and key_file" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"https://a\", tls: {server_name: \"a b\"}}]}", "tls.server_name 'a b' is not a valid host name" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"https://a?b\"}]}", "app_service.apps[1]: the uri 'https://a?b' has no host and port to connect to" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"tcp://a:1\", rewrite: {headers: [\"X: y\"]}}]}", "app_service.apps[1]: rewrite is for applications of http and https" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"http://a\", rewrite: {jwt_claims: all}}]}", "app_service.apps[1]: rewrite.jwt_claims cannot be 'all'" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"http://a\", rewrite: {headers: [\"X-Real-Ip: y\"]}}]}", "app_service.apps[1]: the header 'X-Real-Ip' is one that the cluster sets" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"http://a\", public_addr: \"web.example.com:443\"}]}", "app_service.apps[1]: the public_addr 'web.example.com:443' is not a host name alone" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"http://a\", public_addr: w.example.com}, {name: wiki, uri: \"http://a\", public_addr: w.example.com}]}",
          "app_service.apps[2].public_addr is that of the application 'web', too" },
        { "app_service: {enabled: yes, allowed_hosts: [a.example.com], apps: [{name: web, uri: \"http://a\"}]}", "app_service.allowed_hosts: 'a.example.com' is not a network" },
        { "app_service: {enabled: yes, allowed_hosts: [10.0.0.0/8], denied_hosts: [10.0.0.1], apps: [{name: web, uri: \"http://a\"}]}", "app_service has allowed_hosts and denied_hosts" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"tcp://a:1\", labels: {teleport.dev/origin: x}}]}", "app_service.apps[1].labels: the label 'teleport.dev/origin' is reserved for the cluster" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"http://a\", cors: {allowed_origins: [\"*\"], allow_credentials: true}}]}", "cors.allowed_origins has '*' together with allow_credentials" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"http://a\", cors: {allow_credentials: true}}]}", "cors has no allowed_origins and would allow nothing" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"tcp://a:1\", cors: {allowed_origins: [\"https://b\"]}}]}", "cors is for applications of http and https" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"http://a\", required_apps: [web]}]}", "required_apps names the application 'web' itself" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"http://a\", required_apps: [api, api]}]}", "required_apps names 'api' twice" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"http://a\", required_apps: [a, b, c, d, e, f, g, h, i]}]}", "required_apps has more than 8 applications" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"http://a\", required_apps: [\"../x\"]}]}", "application name \"../x\" must be a valid DNS subdomain" },
        { "app_service: {enabled: yes, apps: [{name: web, uri: \"tcp://a:1\", required_apps: [api]}]}", "required_apps is for applications of http and https" },
        { "app_service: {enabled: yes, resources: [{labels: {}}]}", "app_service.resources[1]: a row of app_service.resources has no labels, or more than 200" },
        { "app_service: {enabled: yes, resources: [{labels: {a: b}}, {labels: {\"*\": b}}]}", "app_service.resources[2]: the label '*' has no other meaning than every application" },
        { "app_service: {enabled: yes, resources: [{labels: {a: []}}]}", "app_service.resources[1]: a label has no values and would match nothing" },
        { "db_service: {enabled: yes}", "db_service is not part of this release; its role Db already joins" },
        { "kubernetes_service: {enabled: yes}", "kubernetes_service is not part of this release; its role Kube already joins" },
        { "auth_service: {listen_addr: \"x y\"}", "auth_service.listen_addr: 'x y' is not an address" },
        { "auth_service: {cluster_name: \"a/b\"}", "auth_service.cluster_name 'a/b' is not a valid host name" },
        { "auth_service: {host_cert_ttl: 25h}", "auth_service.host_cert_ttl must lie between 5s and 24h0m0s" },
        { "auth_service: {host_cert_ttl: 24h1ms}", "auth_service.host_cert_ttl must lie between 5s and 24h0m0s" },
        { "auth_service: {host_cert_ttl: 1s}", "auth_service.host_cert_ttl must lie between 5s and 24h0m0s" },
        { "auth_service: {heartbeat_ttl: 1s}", "auth_service.heartbeat_ttl must lie between 2s and 24h0m0s" },
        { "auth_service: {app_token_algorithm: HS256}", "auth_service.app_token_algorithm cannot be 'HS256'" },
        { "auth_service: {app_token_algorithm: none}", "auth_service.app_token_algorithm cannot be 'none'" },
        { "auth_service: {tunnel_strategy: {type: mesh}}", "auth_service.tunnel_strategy.type cannot be 'mesh'" },
        { "auth_service: {tunnel_strategy: {agent_connection_count: 2}}",
          "auth_service.tunnel_strategy.agent_connection_count has no meaning with type: agent_mesh" },
        { "auth_service: {tunnel_strategy: {type: proxy_peering, agent_connection_count: 0}}",
          "auth_service.tunnel_strategy.agent_connection_count must lie between 1 and 64" },
        { "auth_service: {tunnel_strategy: {type: proxy_peering, agent_connection_count: 65}}",
          "auth_service.tunnel_strategy.agent_connection_count must lie between 1 and 64" },
        { "proxy_service: {peer_public_addr: proxy-1.example.com}", "proxy_service.peer_public_addr has no meaning without peer_listen_addr" },
        { "proxy_service: {peer_listen_addr: 0.0.0.0, peer_public_addr: [a.example.com, b.example.com]}",
          "proxy_service.peer_public_addr has more than one address" },
        { "version: v3\nteleport: {nodename: localhost, proxy_server: \"p:1\"}\nauth_service: {enabled: no}\nproxy_service: {enabled: no}",
          "teleport.nodename 'localhost' is reserved: auth certifies no host under it" },
        { "version: v3\nteleport: {nodename: web.teleport.cluster.local, proxy_server: \"p:1\"}\nauth_service: {enabled: no}\nproxy_service: {enabled: no}",
          "teleport.nodename 'web.teleport.cluster.local' is reserved: auth certifies no host under it" },
        { "auth_service: {tokens: [secret]}", "an entry of auth_service.tokens has no roles" },
        { "auth_service: {tokens: [\":secret\"]}", "an entry of auth_service.tokens names no role before its colon" },
        { "auth_service: {tokens: [\"root:secret\"]}", "auth_service.tokens: invalid role \"root\"" },
        { "auth_service: {tokens: [\"admin:secret\"]}", "auth_service.tokens: a token cannot give role Admin" },
        { "auth_service: {tokens: [\"node:\"]}", "a secret of auth_service.tokens is not a valid token" },
        { "auth_service: {aws: {sts_connect_to: \"a b\"}}", "auth_service.aws.sts_connect_to: 'a b' is not an address" },
        { "auth_service: {aws: {extra_regions: [\"US east\"]}}",
          "auth_service.aws.extra_regions 'US east' is not a region" },
        { "proxy_service: {plain_http_addr: \"127.0.0.1\"}", "proxy_service.plain_http_addr: '127.0.0.1' is not an address" },
        { "proxy_service: {https_keypairs: [{key_file: /x}]}",
          "proxy_service.https_keypairs[1] needs key_file and cert_file" },
        { "auth_service: {proxy_protocol: maybe}", "auth_service.proxy_protocol 'maybe' is unknown" },
        { "proxy_service: {proxy_protocol: v2}", "proxy_service.proxy_protocol 'v2' is unknown" },
        { "auth_service: {proxy_protocol: on}", "auth_service.proxy_protocol: on needs load_balancers" },
        { "proxy_service: {proxy_protocol: on, load_balancers: []}", "proxy_service.proxy_protocol: on needs load_balancers" },
        { "proxy_service: {trust_x_forwarded_for: yes}", "proxy_service.trust_x_forwarded_for: yes needs load_balancers" },
        { "proxy_service: {trust_x_forwarded_for: yes, load_balancers: [lb.example.com]}",
          "proxy_service.load_balancers: 'lb.example.com' is not a network" },
        { "auth_service: {proxy_protocol: on, load_balancers: [10.0.0.5/8]}", "auth_service.load_balancers: '10.0.0.5/8' has bits after its prefix" },
        { "proxy_service: {acme: {enabled: yes}}", "proxy_service.acme needs a host name in proxy_service.public_addr" },
        { "proxy_service: {public_addr: [\"10.0.0.1:443\", \"[::1]:443\", \"2001:db8::1\"], acme: {enabled: yes}}",
          "proxy_service.acme needs a host name in proxy_service.public_addr" },
        { "proxy_service: {public_addr: a.test, web_listen_addr: \":443\", acme: {enabled: yes}, https_keypairs: [{key_file: /x, cert_file: /y}]}",
          "proxy_service has https_keypairs and acme" },
        { "proxy_service: {public_addr: a.test, acme: {enabled: yes, uri: \"http://ca.test/directory\"}}", "proxy_service.acme.uri is not an https URL" },
        { "proxy_service: {public_addr: a.test, acme: {enabled: yes, uri: \"https:///directory\"}}", "proxy_service.acme.uri is not an https URL" },
        { "proxy_service: {public_addr: a.test, acme: {enabled: yes, email: admin}}", "proxy_service.acme.email is not one e-mail address" },
        { "proxy_service: {public_addr: a.test, acme: {enabled: yes, email: \"a@b.test,c@d.test\"}}",
          "proxy_service.acme.email is not one e-mail address" },
        { "proxy_service: {public_addr: [\"a/b\"]}", "proxy_service.public_addr: 'a/b' is not an address" },
        { "ssh_service: {commands: [{name: \"a b\", command: [x]}]}", "ssh_service.commands[1].name: 'a b' is not a label's name" },
        { "ssh_service: {commands: [{name: a, command: [x]}, {name: a, command: [z]}]}", "ssh_service.commands: the label 'a' occurs twice" },
        { "ssh_service: {commands: [{name: a}]}", "ssh_service.commands: the label 'a' has no command" },
        { "app_service: {enabled: yes, apps: [{name: a, uri: \"tcp://h:1\", commands: [{name: \"a b\", command: [x]}]}]}",
          "app_service.apps[1].commands[1].name: 'a b' is not a label's name" },
        { "app_service: {enabled: yes, apps: [{name: a, uri: \"tcp://h:1\", commands: [{name: x, command: [y]}, {name: x, command: [z]}]}]}",
          "app_service.apps[1].commands: the label 'x' occurs twice" },
        { "app_service: {enabled: yes, apps: [{name: a, uri: \"tcp://h:1\", commands: [{name: x}]}]}", "app_service.apps[1].commands: the label 'x' has no command" },
        { "app_service: {enabled: yes, debug_app: yes, apps: [{name: dumper, uri: \"http://h:1\"}]}", "app_service.apps: 'dumper' is the name of the application of debug_app" },
        { "ssh_service: {commands: [{name: a, command: [x], period: 10ms}]}", "ssh_service.commands: the label 'a' has a period shorter than a second" },
        { "ssh_service: {labels: {teleport.internal/x: z}}",
          "ssh_service.labels: the label 'teleport.internal/x' is reserved for the cluster" },
        { "ssh_service: {labels: {Teleport.Dev/origin: z}}", "ssh_service.labels: the label 'Teleport.Dev/origin' is reserved for the cluster" },
        { "ssh_service: {commands: [{name: teleport.hidden/x, command: [x]}]}",
          "ssh_service.commands[1].name: the label 'teleport.hidden/x' is reserved for the cluster" },
        { "ssh_service: {labels: {\"a b\": c}}", "ssh_service.labels: 'a b' is not a label's name" },
};

static void refuses_with_the_key_and_the_reason(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);

                print_message("  %s\n", refusals[i].what);
                AUTO_PTR(error) err = config_check(config_of(a, refusals[i].yaml), a, NULL);
                assert_non_null(err);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                assert_string_equal(err->what, refusals[i].what);
        }
}

/* Where a name to connect to is written; %s is that name. */
static const char *const names_of_addresses[] = {
        "auth_service: {enabled: no}\nproxy_service: {enabled: no}\nversion: v3\nteleport: {proxy_server: \"%s:443\"}",
        "auth_service: {enabled: no}\nproxy_service: {enabled: no}\nversion: v3\nteleport: {auth_server: \"%s\"}",
        "auth_service: {enabled: no}\nproxy_service: {enabled: no}\nversion: v1\nteleport: {auth_servers: [\"%s\"]}",
        "teleport: {advertise_ip: \"%s\"}",
        "auth_service: {public_addr: \"%s\"}",
        "auth_service: {aws: {sts_connect_to: \"%s:443\"}}",
        "proxy_service: {public_addr: [\"a.example.com\", \"%s:443\"]}",
        "auth_service: {tunnel_strategy: {type: proxy_peering}}\nproxy_service: {peer_listen_addr: \"0.0.0.0:3021\", peer_public_addr: \"%s:3021\"}",
};

static void refuses_names_that_the_dns_cannot_have(void **state)
{
        static const struct {
                const char *name, *hint; /* hint NULL: accepted */
        } names[] = {
                { NAME_253, NULL },
                { "xn--bcher-kva.example.com", NULL },
                { NAME_253 "a", "at most 253 bytes" },
                { "a." LABEL_63 "a", "at most 63 bytes" },
                { "b\xc3\xbc" "cher.example.com", "xn--" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(names_of_addresses) * ARRAY_LEN(names); i++) {
                const char *name = names[i % ARRAY_LEN(names)].name, *hint = names[i % ARRAY_LEN(names)].hint;
                struct str after = str_of(names_of_addresses[i / ARRAY_LEN(names)]), before = str_split(&after, '%');
                AUTO_MEM char *yaml = mem_printf("%.*s%s%.*s", STR_ARG(before), name, STR_ARG(str_slice(after, 1, after.len)));
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);
                AUTO_PTR(error) err = config_check(config_of(a, yaml), a, NULL);

                if (hint == NULL ? err != NULL : err == NULL || err->hint == NULL || strstr(err->hint, hint) == NULL)
                        fail_msg("%s: %s", yaml, err == NULL ? "accepted" : err->what);
        }
}

static void reports_all_mistakes_at_once(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        AUTO_PTR(error) err = config_check(config_of(a, "version: v3\n"
                                                              "teleport:\n"
                                                              "  data_dir: relative\n"
                                                              "  nodename: 10.0.0.5\n"
                                                              "  log: {severity: LOUD, output: syslog}\n"
                                                              "  ca_pin: [abc, def]\n"
                                                              "  storage: {type: etcd}\n"
                                                              "ssh_service: {public_addr: [a/b], labels: {\"a b\": c}}\n"
                                                              "db_service: {enabled: yes}\n"),
                                           a, NULL);

        assert_non_null(err);
        assert_string_equal(err->what,
                            "the configuration has 10 mistakes:\n"
                            "  db_service is not part of this release; its role Db already joins; write enabled: no in db_service\n"
                            "  teleport.data_dir cannot be 'relative'; write an absolute path\n"
                            "  teleport.nodename '10.0.0.5' is an address: auth certifies no host under one; set teleport.nodename to a "
                            "name; the address is certified beside it\n"
                            "  teleport.ca_pin 'abc' is not a CA pin; copy the line sha256:<64 hex digits> from tctl status, or name a file "
                            "by its absolute path\n"
                            "  teleport.ca_pin 'def' is not a CA pin; copy the line sha256:<64 hex digits> from tctl status, or name a file "
                            "by its absolute path\n"
                            "  teleport.log.severity cannot be 'LOUD'; use DEBUG, INFO, WARN or ERROR\n"
                            "  teleport.log.output cannot be 'syslog'; use stderr, stdout or the absolute path of a file\n"
                            "  teleport.storage.type cannot be 'etcd'; this release has one storage: sqlite\n"
                            "  ssh_service.public_addr: 'a/b' is not an address; write host:port, for example teleport.example.com:443 or "
                            "[2001:db8::1]:443\n"
                            "  ssh_service.labels: 'a b' is not a label's name; use letters, digits and / . _ : * - only");
        assert_null(err->also);
}

static const struct {
        const char *yaml, *warning;
} warnings_of_configs[] = {
        { AGENT_OFF "  proxy_server: a:3025", "teleport.proxy_server has port 3025" },
        { AGENT_OFF "  auth_server: a:3080", "teleport.auth_server has port 3080" },
        { AGENT_OFF "  auth_server: a:443", "teleport.auth_server has port 443" },
        { AGENT "  join_params: {method: iam}", "teleport.join_params.token_name is missing" },
        { "teleport: {auth_servers: [a, b]}", "teleport.auth_servers: only the first of 2 is used" },
        { "proxy_service: {load_balancers: [10.0.0.5]}", "proxy_service.load_balancers has no effect" },
        { "auth_service: {proxy_protocol: off, load_balancers: [10.0.0.5]}", "auth_service.load_balancers has no effect" },
        { "proxy_service: {public_addr: a.test, acme: {enabled: yes}}", "proxy_service.acme: the CA connects to port 443 of public_addr; it must lead to port 3080" },
};

static void warns_of_a_probable_mistake(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(warnings_of_configs); i++) {
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);
                struct config_warnings warnings = { 0 };

                accepted(a, warnings_of_configs[i].yaml, &warnings);
                assert_int_equal(warnings.count, 1);
                assert_true(str_starts_with(str_of(warnings.texts[0]), str_of(warnings_of_configs[i].warning)));
        }
}

static void acme_has_the_directory_of_lets_encrypt_unless_named(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        struct config_warnings warnings = { 0 };
        Cteleport__V1__Config *c = accepted(a, "proxy_service: {public_addr: a.test, web_listen_addr: \"0.0.0.0:443\", acme: {enabled: yes, email: a@b.test}}", &warnings);

        assert_int_equal(warnings.count, 0);
        assert_string_equal(c->proxy_service->acme->uri, "https://acme-v02.api.letsencrypt.org/directory");
        c = accepted(a, "proxy_service: {public_addr: a.test, acme: {enabled: yes, uri: \"https://ca.test/directory\"}}", NULL);
        assert_string_equal(c->proxy_service->acme->uri, "https://ca.test/directory");
        c = accepted(a, "proxy_service: {acme: {enabled: no, uri: x, email: x}}", NULL); /* off: not checked */
        assert_string_equal(c->proxy_service->acme->uri, "x");
}

static void normalises_the_spelling_of_settings(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        Cteleport__V1__Config *c = accepted(a, AGENT "  log: {severity: warning, output: ERR, format: {output: JSON}}\n"
                                                     "  ca_pin: [\"\", " PIN ", /etc/pins]\n"
                                                     "  diag_addr: \"\"\n", NULL);

        assert_string_equal(c->teleport->log->severity, "WARN");
        assert_string_equal(c->teleport->log->output, "stderr");
        assert_string_equal(c->teleport->log->format->output, "json");
        assert_int_equal(c->teleport->n_ca_pin, 2);
        assert_string_equal(c->teleport->ca_pin[0], PIN);
}

static void normalises_the_setting_of_proxy_protocol(void **state)
{
        static const struct {
                const char *written, *expected;
        } rows[] = { { "on", "on" }, { "On", "on" }, { "yes", "on" }, { "'true'", "on" }, { "off", "off" }, { "no", "off" },
                     { "unspecified", NULL }, { "''", NULL }, { "~", NULL } };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);
                const char *yaml = arena_printf(a,
                                                "auth_service: {proxy_protocol: %s, load_balancers: [10.0.0.0/8]}\n"
                                                "proxy_service: {proxy_protocol: %s, load_balancers: [10.0.0.0/8, \"2001:db8::5\"]}",
                                                rows[i].written, rows[i].written);
                Cteleport__V1__Config *c = accepted(a, yaml, NULL);

                if (rows[i].expected == NULL) {
                        assert_null(c->auth_service->proxy_protocol);
                        assert_null(c->proxy_service->proxy_protocol);
                        continue;
                }
                assert_string_equal(c->auth_service->proxy_protocol, rows[i].expected);
                assert_string_equal(c->proxy_service->proxy_protocol, rows[i].expected);
        }
}

static void reads_static_tokens_and_the_files_they_name(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        const struct static_token *tokens = NULL;
        size_t count = 0;
        char path[] = "/tmp/static-tokens-XXXXXX";
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, "# comment\nfirst\n\n second \n", 26), 26);
        close(fd);
        Cteleport__V1__Config *c = accepted(
                a, arena_printf(a, "auth_service: {tokens: [\"node, DB:a:b\", \"proxy:%s\"]}", path), NULL);
        assert_null(config_static_tokens(c, a, &tokens, &count));
        unlink(path);
        assert_int_equal(count, 3);
        assert_true(str_equal(tokens[0].secret, STR("a:b")));
        assert_int_equal(tokens[0].role_count, 2);
        assert_true(str_equal(tokens[0].roles[1], STR("Db")));
        assert_true(str_equal(tokens[1].secret, STR("first")));
        assert_true(str_equal(tokens[2].secret, STR("second")));
        assert_true(str_equal(tokens[2].roles[0], STR("Proxy")));
        AUTO_PTR(error) err = config_static_tokens(c, a, &tokens, &count); /* the file is removed now */
        assert_non_null(err);
        assert_int_equal(err->code, ERROR_NOT_FOUND);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(accepts_the_agent_of_the_guide_and_fills_in_defaults),
                cmocka_unit_test(opens_a_port_for_other_proxies_only_where_they_relay),
                cmocka_unit_test(enables_three_services_by_default),
                cmocka_unit_test(completes_the_addresses_of_servers),
                cmocka_unit_test(refuses_with_the_key_and_the_reason),
                cmocka_unit_test(refuses_names_that_the_dns_cannot_have),
                cmocka_unit_test(reports_all_mistakes_at_once),
                cmocka_unit_test(warns_of_a_probable_mistake),
                cmocka_unit_test(acme_has_the_directory_of_lets_encrypt_unless_named),
                cmocka_unit_test(normalises_the_spelling_of_settings),
                cmocka_unit_test(normalises_the_setting_of_proxy_protocol),
                cmocka_unit_test(reads_static_tokens_and_the_files_they_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
