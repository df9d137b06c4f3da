/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "base/error_testing.h"
#include "base/limits.h"
#include "config.pb-c.h"
#include "resource.pb-c.h"
#include "schema/schema.h"

enum { ARENA_CAP = 8 * MiB };

static const ProtobufCMessageDescriptor *const config = &cteleport__v1__config__descriptor;
static const ProtobufCMessageDescriptor *const token = &cteleport__v1__token__descriptor;
static const ProtobufCMessageDescriptor *const instance = &cteleport__v1__instance__descriptor;

struct reading {
        const char *name;
        const ProtobufCMessageDescriptor *const *type;
        const char *text;
        const char *json; /* the parsed message */
};

static const struct reading readings[] = {
        { "nothing at all", &config, "", "{}" },
        { "a comment", &config, "# nothing\n", "{}" },
        { "an explicit null", &config, "---\n~\n", "{}" },
        { "a section left empty is there", &config, "ssh_service:\n", "{\"ssh_service\":{}}" },
        { "a value left empty is absent", &config, "teleport:\n  data_dir:\n", "{\"teleport\":{}}" },
        { "an empty text is there", &config, "version: \"\"", "{\"version\":\"\"}" },
        { "yes as the guide writes it", &config, "ssh_service:\n  enabled: yes\n",
          "{\"ssh_service\":{\"enabled\":true}}" },
        { "no in quotes", &config, "ssh_service: {enabled: \"NO\"}", "{\"ssh_service\":{\"enabled\":false}}" },
        { "a single value where a list may stand", &config, "teleport: {ca_pin: sha256:00ff}",
          "{\"teleport\":{\"ca_pin\":[\"sha256:00ff\"]}}" },
        { "a list left empty", &config, "teleport: {ca_pin: []}", "{\"teleport\":{}}" },
        { "a mapping of labels", &config, "ssh_service: {labels: {env: prod, '*': '*', a: }}",
          "{\"ssh_service\":{\"labels\":{\"env\":\"prod\",\"*\":\"*\",\"a\":\"\"}}}" },
        { "a duration", &config, "auth_service: {host_cert_ttl: 90m}",
          "{\"auth_service\":{\"host_cert_ttl\":\"1h30m0s\"}}" },
        { "a duration with a fraction of a second", &config, "auth_service: {host_cert_ttl: 1s500ms}",
          "{\"auth_service\":{\"host_cert_ttl\":\"1s500ms\"}}" },
        { "an address is no number", &config, "auth_service: {listen_addr: 0.0.0.0:3025, public_addr: 10.0.0.5}",
          "{\"auth_service\":{\"listen_addr\":\"0.0.0.0:3025\",\"public_addr\":[\"10.0.0.5\"]}}" },
        { "an account in quotes", &token, "spec: {allow: [{aws_account: \"012345678901\"}]}",
          "{\"spec\":{\"allow\":[{\"aws_account\":\"012345678901\"}]}}" },
        { "a moment", &token, "metadata: {expires: 2030-02-03T04:05:06.5+01:00}",
          "{\"metadata\":{\"expires\":\"2030-02-03T03:05:06.5Z\"}}" },
        { "a moment far away, as old guides have it", &token, "metadata: {expires: \"3000-02-28T23:59:59Z\"}",
          "{\"metadata\":{\"expires\":\"3000-02-28T23:59:59Z\"}}" },
        { "the last moment there is", &token, "metadata: {expires: \"9999-12-31T23:59:59Z\"}",
          "{\"metadata\":{\"expires\":\"9999-12-31T23:59:59Z\"}}" },
        { "numbers", &instance, "spec: {clock_skew_ms: -9223372036854775808, is_connected: on}",
          "{\"spec\":{\"is_connected\":true,\"clock_skew_ms\":-9223372036854775808}}" },
        { "JSON", &token, "{\"metadata\":{\"name\":\"a\\u0041\\n\"},\"spec\":{\"roles\":[\"Node\"]}}",
          "{\"metadata\":{\"name\":\"aA\\n\"},\"spec\":{\"roles\":[\"Node\"]}}" },
        { "an anchor and its alias", &config, "auth_service: {public_addr: &a [x, z]}\nproxy_service: {public_addr: *a}",
          "{\"auth_service\":{\"public_addr\":[\"x\",\"z\"]},\"proxy_service\":{\"public_addr\":[\"x\",\"z\"]}}" },
        { "a byte order mark", &config, "\xef\xbb\xbfversion: v3\nteleport:\n  nodename: a\n",
          "{\"version\":\"v3\",\"teleport\":{\"nodename\":\"a\"}}" },
        { "a line of dashes at the end", &config, "---\nversion: v3\n---\n", "{\"version\":\"v3\"}" },
        { "numbers and booleans as text of teleport.yaml", &config,
          "teleport: {nodename: 12}\nssh_service: {labels: {rack: 12, zone: 1.20, n: on, 5: ~}}",
          "{\"teleport\":{\"nodename\":\"12\"},\"ssh_service\":{\"labels\":{\"rack\":\"12\",\"zone\":\"1.20\",\"n\":\"on\",\"5\":\"\"}}}" },
        { "numbers as labels of a resource", &token, "metadata: {labels: {n: 12}}", "{\"metadata\":{\"labels\":{\"n\":\"12\"}}}" },
        { "a merge key", &token,
          "spec: {allow: [&a {aws_account: \"1\", aws_arn: x}, {<<: *a, aws_arn: v}, {aws_arn: z, <<: *a}]}",
          "{\"spec\":{\"allow\":[{\"aws_account\":\"1\",\"aws_arn\":\"x\"},{\"aws_account\":\"1\",\"aws_arn\":\"v\"},"
          "{\"aws_account\":\"1\",\"aws_arn\":\"z\"}]}}" },
        { "a merge key with a list", &token,
          "spec: {allow: [&a {aws_account: \"1\"}, &b {aws_account: \"2\", aws_arn: x}, {<<: [*a, *b]}, {<<: *b}]}",
          "{\"spec\":{\"allow\":[{\"aws_account\":\"1\"},{\"aws_account\":\"2\",\"aws_arn\":\"x\"},"
          "{\"aws_account\":\"1\",\"aws_arn\":\"x\"},{\"aws_account\":\"2\",\"aws_arn\":\"x\"}]}}" },
        { "keys of Teleport without effect", &config,
          "discovery_service: {enabled: no}\njamf_service: {enabled: \"no\"}\nokta_service: {}\n"
          "auth_service: {authentication: {type: local, second_factor: otp}, proxy_listener_mode: multiplex}\n"
          "proxy_service: {enabled: no, idp: {saml: {enabled: yes}}}\n",
          "{\"auth_service\":{},\"proxy_service\":{\"enabled\":false}}" },
        { "fields that Teleport prints", &token,
          "metadata: {name: t, id: 1683574028869588000, namespace: default}\nspec: {suggested_labels: {env: [prod, eu], a: b}}",
          "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"suggested_labels\":{\"env\":[\"prod\",\"eu\"],\"a\":[\"b\"]}}}" },
        { "long text over several lines", &token, "metadata:\n  description: |\n    one\n    two\n",
          "{\"metadata\":{\"description\":\"one\\ntwo\\n\"}}" },
        { "tags that say what is there anyway", &token, "!!map\nmetadata: {name: !!str 12}\nspec: {roles: !!seq [!!str Node]}",
          "{\"metadata\":{\"name\":\"12\"},\"spec\":{\"roles\":[\"Node\"]}}" },
        { "control bytes only by escapes, written back as escapes", &token, "metadata: {name: \"\\e\\x9b\\u202e\"}",
          "{\"metadata\":{\"name\":\"\\u001b\\u009b\\u202e\"}}" },
};

static void reads_a_valid_file(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(readings); i++) {
                const struct reading *r = &readings[i];
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);
                AUTO(buf) json = BUF_MAX(64 * KiB);
                ProtobufCMessage *msg = NULL;

                print_message("  %s\n", r->name);
                struct error *err = schema_load_yaml(a, "f.yaml", str_of(r->text), *r->type, &msg);
                if (err != NULL)
                        error_print(err);
                assert_null(err);
                schema_put_json(&json, msg, SCHEMA_JSON_COMPACT);
                assert_string_equal(buf_c(&json), r->json);
        }
}

struct refusal {
        const ProtobufCMessageDescriptor *const *type;
        const char *text;
        const char *what;
        const char *hint; /* NULL: any */
};

static const struct refusal refusals[] = {
        { &config, "verson: v3", "f.yaml:1:1: unknown key 'verson' at the top level", "did you mean 'version'" },
        { &config, "teleport:\n  log:\n    sevrity: INFO\n", "f.yaml:3:5: unknown key 'sevrity' in teleport.log",
          "did you mean 'severity'" },
        { &config, "proxy_server: a:443", "f.yaml:1:1: unknown key 'proxy_server' at the top level",
          "'proxy_server' belongs in teleport; check the indentation" },
        { &config, "<<: {a: b}", "f.yaml:1:6: unknown key 'a' at the top level", NULL },
        { &config, "<<: a", "f.yaml:1:5: '<<' takes a mapping or a list of mappings", NULL },
        { &config, "<<: [{version: v3}, a]", "f.yaml:1:21: '<<' takes a mapping or a list of mappings", NULL },
        { &config, "\"<<\": {a: b}", "f.yaml:1:1: unknown key '<<' at the top level", NULL },
        { &config, "\"\\e[2J\": 1", "f.yaml:1:1: unknown key '\\x1b[2J' at the top level", NULL },
        { &config, "version: v3\nversion: v2", "f.yaml:2:1: key 'version' occurs twice", "keep one of them; the other is in line 1" },
        { &config, "version: v3\nversion: v2\nversoin: v1\nteleport: {nodename: a, nodename: b}",
          "f.yaml has 3 mistakes:\n"
          "  f.yaml:2:1: key 'version' occurs twice; keep one of them; the other is in line 1\n"
          "  f.yaml:4:25: key 'nodename' occurs twice; keep one of them; the other is in line 4\n"
          "  f.yaml:3:1: unknown key 'versoin' at the top level; did you mean 'version'", NULL },
        { &config, "ssh_service: {labels: {a: [b], c: {d: e}}, commands: [{period: x}, {period: z}]}",
          "f.yaml has 4 mistakes:\n"
          "  f.yaml:1:27: ssh_service.labels.a must be a single value, not a list\n"
          "  f.yaml:1:35: ssh_service.labels.c must be a single value, not a mapping\n"
          "  f.yaml:1:64: ssh_service.commands[1].period must be a duration like 1h30m, 10s or 500ms, not 'x'\n"
          "  f.yaml:1:77: ssh_service.commands[2].period must be a duration like 1h30m, 10s or 500ms, not 'z'", NULL },
        { &config, "ssh_service: {labels: {a: b, \"a\": c}}", "f.yaml:1:30: key 'a' occurs twice", NULL },
        { &token, "spec: {allow: [{aws_account: 123456789012}]}",
          "f.yaml:1:30: spec.allow[1].aws_account must be text, not '123456789012'",
          "put it in quotes to make it a text" },
        { &token, "spec: {allow: [{aws_account: 012345678901}]}",
          "f.yaml:1:30: spec.allow[1].aws_account must be text, not '012345678901'", NULL },
        { &token, "metadata: {name: yes}", "f.yaml:1:18: metadata.name must be text, not 'yes'", NULL },
        { &token, "metadata: {name: 1e3}", "f.yaml:1:18: metadata.name must be text, not '1e3'", NULL },
        { &token, "metadata: {name: 0x1F}", "f.yaml:1:18: metadata.name must be text, not '0x1F'", NULL },
        { &token, "metadata: {name: \"a\\0b\"}",
          "f.yaml:1:18: metadata.name must be text without NUL characters, not 'a\\x00b'", NULL },
        { &token, "metadata: {name: [a]}", "f.yaml:1:18: metadata.name must be a single value, not a list", NULL },
        { &token, "metadata: a", "f.yaml:1:11: metadata must be a mapping of keys to values, not 'a'", NULL },
        { &token, "spec: {roles: {a: b}}", "f.yaml:1:15: spec.roles must be a list, not a mapping", NULL },
        { &token, "spec: {roles: [Node, ~]}", "f.yaml:1:22: spec.roles[2] must be given, not '~'", NULL },
        { &token, "spec: {allow: x}", "f.yaml:1:15: spec.allow must be a list, not 'x'", NULL },
        { &token, "metadata: {labels: [a]}", "f.yaml:1:20: metadata.labels must be a mapping of keys to values, not a list",
          NULL },
        { &token, "metadata: {labels: {a: [b]}}", "f.yaml:1:24: metadata.labels.a must be a single value, not a list",
          NULL },
        { &token, "metadata: {expires: tomorrow}",
          "f.yaml:1:21: metadata.expires must be a date and time like 2026-01-31T23:59:59Z, not 'tomorrow'", NULL },
        { &token, "metadata: {expires: 9999-12-31T23:59:59-01:00}",
          "f.yaml:1:21: metadata.expires must be a date and time like 2026-01-31T23:59:59Z, not "
          "'9999-12-31T23:59:59-01:00'",
          NULL },
        { &token, "metadata: {expires: {seconds: 1}}", "f.yaml:1:21: metadata.expires must be a single value, not a mapping",
          NULL },
        { &config, "auth_service: {host_cert_ttl: 60}",
          "f.yaml:1:31: auth_service.host_cert_ttl must be a duration like 1h30m, 10s or 500ms, not '60'", NULL },
        { &config, "ssh_service: {enabled: maybe}", "f.yaml:1:24: ssh_service.enabled must be yes or no, not 'maybe'", NULL },
        { &instance, "spec: {clock_skew_ms: 9223372036854775808}",
          "f.yaml:1:23: spec.clock_skew_ms must be a whole number in range, not '9223372036854775808'", NULL },
        { &instance, "spec: {clock_skew_ms: \"1\"}", "f.yaml:1:23: spec.clock_skew_ms must be a whole number in range, not '1'",
          NULL },
        { &config, "version: !!binary djM=", "f.yaml:1:10: the tag '!!binary' has no meaning here", "write the value without the tag, in quotes if it is text" },
        { &config, "version: !vault v3", "f.yaml:1:10: the tag '!vault' has no meaning here", NULL },
        { &config, "teleport: !!str {}", "f.yaml:1:11: the tag '!!str' has no meaning here", NULL },
        { &config, "%TAG ! tag:x,2000:\n---\nversion: v3", "f.yaml:1:1: tag directives have no meaning here", NULL },
        { &config, "version: *nothing", "f.yaml:1:10: alias 'nothing' names nothing above it", "put a value that begins with '*' in quotes" },
        { &config, "teleport: &a {log: *a}", "f.yaml:1:20: alias 'a' is inside of its own anchor", NULL },
        { &config, "? [a]\n: b", "f.yaml:1:3: a key must be text, not a list or a mapping", NULL },
        { &config, "version: v3\n---\nversion: v2",
          "f.yaml:3:1: a second document begins here, but one is expected", NULL },
        { &config, "- version", "f.yaml:1:1: the document must be a mapping of keys to values, not a list", NULL },
        { &config, "hello", "f.yaml:1:1: the document must be a mapping of keys to values, not 'hello'", NULL },
        { &config, "teleport:\n\tdata_dir: /x", "f.yaml:2:1: the line is indented with a tab",
          "indent with blanks: YAML does not allow tabs there" },
        { &config, "teleport: {", "f.yaml:2:1: a value was expected here", NULL },
        { &config, "teleport: {nodename: a\nversion: v3\n", "f.yaml:2:8: a mapping that began with '{' has no '}'",
          "close the bracket, and put commas between the pairs; see also line 1" },
        { &config, "teleport: {ca_pin: [a\nversion: v3\n", "f.yaml:2:8: a list that began with '[' has no ']'", NULL },
        { &config, "teleport: {nodename: {{ name }}}", "f.yaml:1:23: a key must be text, not a list or a mapping",
          "put a template such as '{{ name }}' in quotes, or fill it in before" },
        { &config, "version: @v3", "f.yaml:1:10: a value cannot begin with '@'", "put the value in quotes" },
        { &config, "\"\u00fc\u00fc\": @v3", "f.yaml:1:7: a value cannot begin with '@'", "put the value in quotes" },
        { &config, "version: `v3`", "f.yaml:1:10: a value cannot begin with '`'", "put the value in quotes" },
        { &config, "version: %v3", "f.yaml:1:10: a value cannot begin with '%'", "put the value in quotes" },
        { &config, "version: *", "f.yaml:1:11: a value cannot begin with '*' or '&' here", "put the value in quotes" },
        { &config, "version: \"\\d\"", "f.yaml:1:11: a '\\' in double quotes begins an unknown escape sequence",
          "use single quotes, or write \\\\ for one backslash" },
        { &config, "auth_service:\n  authentication:\n    type: github\n",
          "f.yaml:2:3: 'auth_service.authentication' is a key of Teleport that this release does not have, and its value "
          "would change something", "leave out 'type: github': users log in with password and one-time code" },
        { &config, "auth_service: {access_monitoring: {enabled: yes, role_arn: arn}}",
          "f.yaml:1:16: 'auth_service.access_monitoring' is a key of Teleport that this release does not have, and its value would change something",
          "leave it out: access is not monitored by queries; tctl audit ls searches the audit log" },
        { &config,
          "auth_service:\n  authentication:\n    type: 0123456789012345678901234567890123456789012345678901234567890123and the rest of a secret\n",
          "f.yaml:2:3: 'auth_service.authentication' is a key of Teleport that this release does not have, and its value "
          "would change something",
          "leave out 'type: 0123456789012345678901234567890123456789012345678901234567890123...': users log in with password and one-time code" },
        { &config, "teleport: {ciphers: [a]}",
          "f.yaml:1:12: 'teleport.ciphers' is a key of Teleport that this release does not have, and its value would change something",
          "leave it out: the algorithms are fixed" },
        { &config, "okta_service: {enabled: yes}\n",
          "f.yaml:1:1: 'okta_service' is a key of Teleport that this release does not have, and its value would change "
          "something", "leave it out: the services are auth, proxy, ssh and app" },
        { &token, "metadata: {namespace: other}",
          "f.yaml:1:12: 'metadata.namespace' is a key of Teleport that this release does not have, and its value would "
          "change something", "leave it out: Teleport prints them; there is one namespace" },
        { &config, "auth_service: {proxy_listener_mode: separate, authentication: {type: local, second_factor: off}}\nversoin: v3\n"
          "teleport: {log: x}",
          "f.yaml has 4 mistakes:\n"
          "  f.yaml:1:16: 'auth_service.proxy_listener_mode' is a key of Teleport that this release does not have, and its "
          "value would change something; leave it out: all protocols share the proxy's one port\n"
          "  f.yaml:1:47: 'auth_service.authentication' is a key of Teleport that this release does not have, and its "
          "value would change something; leave out 'second_factor: off': users log in with password and one-time code\n"
          "  f.yaml:2:1: unknown key 'versoin' at the top level; did you mean 'version'\n"
          "  f.yaml:3:17: teleport.log must be a mapping of keys to values, not 'x'", NULL },
        { &config, "teleport:\n  data_dir: /a\n   nodename: b\n", "f.yaml:3:12: a ':' is not expected here",
          "indent this line as the one above, or put the value in quotes if it contains ': '" },
        { &config, "teleport:\n  data_dir: /a\n nodename: b\n",
          "f.yaml:3:2: the indentation is wrong, or a quote or bracket has no end above",
          "begin the keys of one mapping in the same column; see also line 1" },
        { &config, " version: v3\nteleport: {}\n",
          "f.yaml:2:1: the indentation is wrong: this line begins before the lines above",
          "begin the keys of one mapping in the same column" },
        { &config, "teleport\nversion: v3\n", "f.yaml:2:8: a ':' is not expected here", NULL },
        { &config, "version: \"v3", "f.yaml:1:13: a quote has no end", NULL },
        { &config, "teleport:\n  nodename: \"x\n  data_dir: /a\n", "f.yaml:2:13: a quote has no end", "close the quote that begins here" },
        { &config, "teleport:\n  log:\n    \toutput: stderr", "f.yaml:3:5: the line is indented with a tab", "indent with blanks: YAML does not allow tabs there" },
        { &config, "version:\t@", "f.yaml:1:10: a value cannot begin with '@'", "put the value in quotes" },
        { &config, "kube_service: {enabled: no}", "f.yaml:1:1: unknown key 'kube_service' at the top level", "" },
        { &config, "teleport: {join_params: {tokn: x}}", "f.yaml:1:26: unknown key 'tokn' in teleport.join_params", "the keys here are token_name and method" },
        { &config, "teleport: {log: {level: INFO}}", "f.yaml:1:18: unknown key 'level' in teleport.log", "the keys here are output, severity and format" },
        { &config, "# \xc3\xbc\nversion: \xff", "f.yaml:2:10: the byte 0xff is not UTF-8", "save the file as UTF-8" },
        { &config, "version: b\xe4r\n", "f.yaml:1:11: the byte 0xe4 is not UTF-8", "save the file as UTF-8" },
        { &config, "version: a\x01", "f.yaml:1:11: a control character (byte 0x01) is not text",
          "remove the character; in double quotes, write it as an escape such as \\x01" },
        { &config, "\xff\xfev\0e\0r\0", "f.yaml: the file is UTF-16", "save it as UTF-8" },
};

static void refuses_with_position_reason_and_help(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
                const struct refusal *r = &refusals[i];
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);
                ProtobufCMessage *msg = NULL;
                AUTO_PTR(error) err = schema_load_yaml(a, "f.yaml", str_of(r->text), *r->type, &msg);

                print_message("  %s\n", r->what);
                assert_non_null(err);
                assert_null(msg);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                assert_string_equal(err->what, r->what);
                if (r->hint != NULL)
                        assert_string_equal(err->hint == NULL ? "" : err->hint, r->hint);
        }
}

static void lists_the_ignored_keys(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        struct schema_notes notes = { 0 };
        ProtobufCMessage *msg = NULL;

        assert_null(schema_load_yaml_noting(a, "f.yaml", STR("jamf_service: {}\nproxy_service: {idp: {}}\n"), config, &notes, &msg));
        assert_string_equal(notes.ignored, "jamf_service, proxy_service.idp");
        assert_null(schema_load_yaml_noting(a, "f.yaml", STR("version: v3"), config, &notes, &msg));
        assert_string_equal(notes.ignored, "");
}

static void lists_no_more_mistakes_than_its_limit(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        AUTO(buf) text = BUF_MAX(64 * KiB);
        ProtobufCMessage *msg = NULL;

        for (int i = 0; i < LIMIT_YAML_MISTAKES + 3; i++)
                buf_printf(&text, "unknown%d: x\n", i);
        AUTO_PTR(error) err = schema_load_yaml(a, "f.yaml", buf_str(&text), config, &msg);
        assert_non_null(err);
        assert_non_null(strstr(err->what, "f.yaml has 23 mistakes:\n  f.yaml:1:1: unknown key 'unknown0'"));
        assert_non_null(strstr(err->what, "'unknown19' at the top level\n  and 3 more"));
        assert_null(strstr(err->what, "unknown20"));
}

static void assert_yaml_refused(struct str text, const char *what)
{
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        ProtobufCMessage *msg = NULL;
        AUTO_PTR(error) err = schema_load_yaml(a, "f.yaml", text, config, &msg);

        assert_non_null(err);
        assert_string_equal(err->what, what);
}

static void holds_its_limits_on_size_depth_and_values(void **state)
{
        (void)state;
        AUTO(buf) text = BUF_MAX(1 * MiB);

        for (int i = 0; i < LIMIT_YAML_DEPTH + 1; i++)
                buf_put_char(&text, '[');
        assert_yaml_refused(buf_str(&text), "f.yaml:1:17: lists and mappings are nested more than 16 deep");
        buf_clear(&text);
        for (int i = 0; i < LIMIT_YAML_FILE + 1; i++)
                buf_put_char(&text, '#');
        assert_yaml_refused(buf_str(&text), "f.yaml: longer than 262144 bytes");
        buf_clear(&text);
        buf_put_c(&text, "teleport: {ca_pin: [");
        for (int i = 0; i < LIMIT_YAML_NODES; i++)
                buf_put_c(&text, "a,\n");
        assert_yaml_refused(buf_str(&text), "f.yaml:19996:1: the file holds more than 20000 values");
}

static void counts_values_that_aliases_repeat(void **state)
{
        (void)state;
        AUTO(buf) text = BUF_MAX(64 * KiB);

        buf_put_c(&text, "- &a0 [x, x, x, x, x, x, x, x, x]\n");
        for (int i = 1; i < 9; i++)
                buf_printf(&text, "- &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i - 1, i - 1, i - 1,
                           i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        assert_yaml_refused(buf_str(&text), "f.yaml:5:13: the file holds more than 20000 values");
        buf_clear(&text);
        buf_put_c(&text, "- &a x\n");
        for (int i = 0; i < LIMIT_YAML_ALIASES + 1; i++)
                buf_put_c(&text, "- *a\n");
        assert_yaml_refused(buf_str(&text), "f.yaml:102:3: more than 100 aliases");
        buf_clear(&text);
        buf_put_c(&text, "- &a0 [x]\n");
        for (int i = 1; i < 20; i++)
                buf_printf(&text, "- &a%d [*a%d]\n", i, i - 1);
        assert_yaml_refused(buf_str(&text), "f.yaml:16:9: alias 'a14' nests more than 16 deep");
}

static void refuses_files_larger_than_the_callers_arena(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(256);
        ProtobufCMessage *msg = NULL;
        assert_code(schema_load_yaml(a, "f.yaml", STR("teleport:\n  log: {}\n  data_dir: /tmp\n"), config, &msg), ERROR_RESOURCE_EXHAUSTED);
}

static void writes_yaml_as_users_write_it(void **state)
{
        (void)state;
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        AUTO(buf) yaml = BUF_MAX(64 * KiB);
        ProtobufCMessage *msg = NULL;
        const char *text = "kind: token\n"
                           "version: v2\n"
                           "metadata:\n"
                           "  name: iam-token\n"
                           "  labels:\n"
                           "    env: prod\n"
                           "    \"*\": \"yes\"\n"
                           "  expires: \"2030-01-01T00:00:00Z\"\n"
                           "spec:\n"
                           "  roles:\n"
                           "  - Node\n"
                           "  allow:\n"
                           "  - aws_account: \"012345678901\"\n"
                           "    aws_arn: \"arn:aws:sts::1:assumed-role/x/i-?\"\n"
                           "  - {}\n"
                           "  join_method: iam\n";

        assert_null(schema_load_yaml(a, "f.yaml", str_of(text), token, &msg));
        schema_put_yaml(&yaml, msg);
        assert_string_equal(buf_c(&yaml), text);
}

static void writes_lists_of_messages(void **state)
{
        (void)state;
        AUTO(buf) out = BUF_MAX(4 * KiB);
        Cteleport__V1__Node node = CTELEPORT__V1__NODE__INIT;
        const ProtobufCMessage *const nodes[] = { &node.base, &node.base };

        node.kind = "node";
        schema_put_json_list(&out, nodes, 0, SCHEMA_JSON_INDENT);
        buf_put_char(&out, '\n');
        schema_put_json_list(&out, nodes, 2, SCHEMA_JSON_COMPACT);
        buf_put_char(&out, '\n');
        schema_put_json_list(&out, nodes, 1, SCHEMA_JSON_INDENT);
        buf_put_char(&out, '\n');
        schema_put_yaml_list(&out, nodes, 2);
        assert_string_equal(buf_c(&out), "[]\n"
                                         "[{\"kind\":\"node\"},{\"kind\":\"node\"}]\n"
                                         "[\n    {\n        \"kind\": \"node\"\n    }\n]\n"
                                         "kind: node\n---\nkind: node\n");
}

/* ---- streams ------------------------------------------------------------------------------------- */

struct seen {
        int count;
        int lines[8];
};

static struct error *remember(void *ctx, ProtobufCMessage *msg, int line)
{
        struct seen *seen = ctx;

        assert_ptr_equal(msg->descriptor, token);
        seen->lines[seen->count++] = line;
        return NULL;
}

static struct error *load_stream(const char *text, struct seen *seen)
{
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        const struct schema_kind kinds[] = { { "token", token }, { 0 } };

        return schema_load_stream(a, "s.yaml", str_of(text), kinds, NULL, remember, seen);
}

static void reads_streams_in_order_and_skips_empty_documents(void **state)
{
        (void)state;
        struct seen seen = { 0 };

        assert_null(load_stream("---\nkind: token\n---\n---\nkind: token\n", &seen));
        assert_int_equal(seen.count, 2);
        assert_int_equal(seen.lines[0], 2);
        assert_int_equal(seen.lines[1], 5);
        seen.count = 0;
        assert_null(load_stream("", &seen));
        assert_int_equal(seen.count, 0);
}

static void reads_back_a_json_list(void **state)
{
        (void)state;
        struct seen seen = { 0 };

        assert_null(load_stream("[\n    {\n \"kind\": \"token\"\n },\n {\"kind\":\"token\"}\n]", &seen));
        assert_int_equal(seen.count, 2);
}

static void hands_out_nothing_when_a_later_document_is_wrong(void **state)
{
        (void)state;
        static const struct {
                const char *text, *what;
        } cases[] = {
                { "kind: token\n---\nkind: tokn\n", "s.yaml:3:7: creating resources of type \"tokn\" is not supported" },
                { "kind: token\n---\nspec: {}\n", "s.yaml:3:1: the resource has no kind" },
                { "kind: token\n---\nkind: {}\n", "s.yaml:3:1: the resource has no kind" },
                { "kind: token\n---\nkind: token\nspc: {}\n", "s.yaml:4:1: unknown key 'spc' at the top level" },
                { "kind: token\n---\n[x]\n",
                  "s.yaml:3:2: the document must be a resource: a mapping with kind, version, metadata and spec, not 'x'" },
                { "kind: token\n---\nkind: [\n", "s.yaml:4:1: a value was expected here" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct seen seen = { 0 };
                AUTO_PTR(error) err = load_stream(cases[i].text, &seen);

                assert_non_null(err);
                assert_string_equal(err->what, cases[i].what);
                assert_int_equal(seen.count, 0);
        }
}

static struct error *blame(void *ctx, ProtobufCMessage *msg, int line)
{
        (void)msg;
        (void)line;
        return error_about(error_new(ERROR_INVALID_ARGUMENT, "wrong"), "%s", (const char *)ctx);
}

static void names_the_line_of_the_field_that_a_check_refuses(void **state)
{
        (void)state;
        static const char text[] = "kind: token\nmetadata:\n  name: x\nspec:\n  roles: [Node,\n    App]\n"
                                   "  allow:\n  - aws_arn: arn\n";
        static const struct {
                const char *field, *what;
        } cases[] = {
                { "metadata.name", "s.yaml:3:9: wrong" },      { "spec.roles[1]", "s.yaml:5:11: wrong" },
                { "spec.roles[2]", "s.yaml:6:5: wrong" },      { "spec.roles[3]", "s.yaml:5:10: wrong" },
                { "spec.allow[1].aws_arn", "s.yaml:8:14: wrong" }, { "spec.join_method", "s.yaml:5:3: wrong" },
                { "spec.roles", "s.yaml:5:10: wrong" },        { "version", "s.yaml:1:1: wrong" },
        };
        const struct schema_kind kinds[] = { { "token", token }, { 0 } };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO_PTR(arena) a = arena_new(ARENA_CAP);
                AUTO_PTR(error) err = schema_load_stream(a, "s.yaml", str_of(text), kinds, NULL, blame, (void *)(uintptr_t)cases[i].field);

                assert_non_null(err);
                assert_string_equal(err->what, cases[i].what);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_a_valid_file),
                cmocka_unit_test(refuses_with_position_reason_and_help),
                cmocka_unit_test(lists_the_ignored_keys),
                cmocka_unit_test(lists_no_more_mistakes_than_its_limit),
                cmocka_unit_test(holds_its_limits_on_size_depth_and_values),
                cmocka_unit_test(counts_values_that_aliases_repeat),
                cmocka_unit_test(refuses_files_larger_than_the_callers_arena),
                cmocka_unit_test(writes_yaml_as_users_write_it),
                cmocka_unit_test(writes_lists_of_messages),
                cmocka_unit_test(reads_streams_in_order_and_skips_empty_documents),
                cmocka_unit_test(reads_back_a_json_list),
                cmocka_unit_test(hands_out_nothing_when_a_later_document_is_wrong),
                cmocka_unit_test(names_the_line_of_the_field_that_a_check_refuses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
