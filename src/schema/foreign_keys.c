/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/schema_internal.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "schema/node.h"

/*
 * Keys that Teleport supports and this release does not; they are no spelling mistakes. The table in
 * docs/reference/teleport-keys.md is generated from these rows and those below.
 */
static const struct {
        const char *type, *keys; /* name of a message; keys separated by blanks */
        const char *why;         /* reason, for the reference */
        const char *hint;        /* remedy if the value has an effect; NULL: only removal of the key */
} rows[] = {
        { "cteleport.v1.Config",
          "discovery_service okta_service jamf_service access_graph relay_service plugins",
          "the services are auth, proxy, ssh and app",
          NULL },
        { "cteleport.v1.Config",
          "metrics_service",
          "metrics have no port of their own",
          "leave it out; teleport.diag_addr serves /metrics" },
        { "cteleport.v1.Config",
          "debug_service tracing_service",
          "there are no endpoints for debugging and tracing",
          NULL },
        { "cteleport.v1.TeleportConfig",
          "cache auth_connection_config shutdown_delay",
          "caching, reconnecting and stopping have no settings",
          NULL },
        { "cteleport.v1.TeleportConfig",
          "connection_limits",
          "the limits are fixed (limits.md)",
          NULL },
        { "cteleport.v1.TeleportConfig",
          "ciphers kex_algos mac_algos ciphersuites ca_signature_algo",
          "the algorithms are fixed",
          NULL },
        { "cteleport.v1.TeleportConfig",
          "relay_server",
          "there is no relay service",
          NULL },
        { "cteleport.v1.JoinParams",
          "azure",
          "it is of a join method that this release does not have",
          NULL },
        { "cteleport.v1.StorageConfig",
          "sync journal poll_stream_period peers prefix tls_cert_file tls_key_file tls_ca_file username "
          "password_file insecure region table_name continuous_backups auto_scaling conn_string "
          "change_feed_conn_string project_id collection_name credentials_path",
          "storage is SQLite on a disk of the auth machine, always synchronous",
          NULL },
        { "cteleport.v1.StorageConfig",
          "audit_events_uri audit_sessions_uri",
          "audit log and recordings are files below data_dir",
          "leave it out; the files are in data_dir/log, and storage.audit_retention_period limits their age" },
        { "cteleport.v1.AuthConfig",
          "authentication",
          "users log in with password and one-time code",
          NULL },
        { "cteleport.v1.AuthConfig",
          "proxy_listener_mode",
          "all protocols share the proxy's one port",
          NULL },
        { "cteleport.v1.AuthConfig",
          "session_recording",
          "sessions are recorded on the node",
          NULL },
        { "cteleport.v1.AuthConfig",
          "proxy_checks_host_keys",
          "host keys are always checked",
          NULL },
        { "cteleport.v1.AuthConfig",
          "client_idle_timeout",
          "it belongs to roles",
          "leave it out; set spec.options.client_idle_timeout in the roles" },
        { "cteleport.v1.AuthConfig",
          "client_idle_timeout_message web_idle_timeout message_of_the_day",
          "there are no sessions in a browser, and no such messages are shown",
          NULL },
        { "cteleport.v1.AuthConfig",
          "disconnect_expired_cert",
          "sessions go on when the certificate ends; locks and roles end them",
          "leave it out; tctl lock ends sessions" },
        { "cteleport.v1.AuthConfig",
          "keep_alive_interval keep_alive_count_max session_control_timeout ssh_dial_timeout",
          "times are fixed (limits.md)",
          NULL },
        { "cteleport.v1.AuthConfig",
          "routing_strategy",
          "a host name that several nodes have is refused as ambiguous",
          NULL },
        { "cteleport.v1.AuthConfig",
          "license_file",
          "there are no licenses",
          NULL },
        { "cteleport.v1.AuthConfig",
          "ca_key_params",
          "the CA's keys are files of the signer",
          NULL },
        { "cteleport.v1.AuthConfig",
          "access_monitoring",
          "access is not monitored by queries; tctl audit ls searches the audit log",
          NULL },
        { "cteleport.v1.ProxyConfig",
          "listen_addr tunnel_listen_addr kube_listen_addr mysql_listen_addr postgres_listen_addr "
          "mongo_listen_addr",
          "all protocols share web_listen_addr",
          "leave it out; all clients and agents use web_listen_addr" },
        { "cteleport.v1.ProxyConfig",
          "ssh_public_addr tunnel_public_addr kube_public_addr mysql_public_addr postgres_public_addr "
          "mongo_public_addr",
          "there is one port, and so one public_addr",
          "leave it out; public_addr is for all clients and agents" },
        { "cteleport.v1.ProxyConfig",
          "https_key_file https_cert_file",
          "the older form",
          "write https_keypairs: [{key_file: …, cert_file: …}] instead" },
        { "cteleport.v1.ProxyConfig",
          "ui idp automatic_upgrades_channels",
          "the web pages have no settings; there is no identity provider and no automatic upgrade",
          NULL },
        { "cteleport.v1.SSHConfig",
          "enhanced_recording",
          "a recording contains the output of the terminal; the audit log has each command",
          NULL },
        { "cteleport.v1.SSHConfig",
          "permit_user_env",
          "sshd's PermitUserEnvironment stays no",
          NULL },
        { "cteleport.v1.SSHConfig",
          "disable_create_host_user",
          "no accounts are made",
          NULL },
        { "cteleport.v1.SSHConfig",
          "x11",
          "X11 is not forwarded",
          NULL },
        { "cteleport.v1.SSHConfig",
          "force_listen",
          "nodes are reached through their tunnels only",
          NULL },
        { "cteleport.v1.SSHConfig",
          "allow_tcp_forwarding",
          "it has another name",
          "write port_forwarding instead" },
        { "cteleport.v1.AppServiceConfig",
          "mcp_demo_server",
          "applications are those of `apps` and `resources`",
          NULL },
        { "cteleport.v1.AppConfig",
          "cloud aws mcp",
          "consoles of clouds and servers of the Model Context Protocol are not served",
          NULL },
        { "cteleport.v1.AppConfig",
          "use_any_proxy_public_addr",
          "an application is at a name below each name of the proxy",
          NULL },
        { "cteleport.v1.OtherServiceConfig",
          "resources databases aws azure listen_addr kubeconfig_file kube_cluster_name labels "
          "commands public_addr ldap discovery hosts static_hosts host_labels show_desktop_wallpaper",
          "the service is not part of this release",
          NULL },
        { "cteleport.v1.Metadata",
          "id namespace",
          "Teleport prints them; there is one namespace",
          NULL },
        { "cteleport.v1.TokenSpec",
          "aws_iid_ttl",
          "it is for method ec2",
          NULL },
        { "cteleport.v1.TokenSpec",
          "bot_name",
          "there are no bots",
          NULL },
        { "cteleport.v1.TokenSpec",
          "suggested_agent_matcher_labels",
          "no install scripts are made that would use them",
          NULL },
        { "cteleport.v1.TokenSpec",
          "github circleci kubernetes gitlab gcp azure spacelift tpm terraform_cloud bitbucket oracle "
          "azure_devops env0 bound_keypair integration",
          "it is of a join method that this release does not have",
          NULL },
        { "cteleport.v1.RoleOptions",
          "cert_format cert_extensions",
          "certificates have one form",
          NULL },
        { "cteleport.v1.RoleOptions",
          "disconnect_expired_cert",
          "sessions go on when the certificate ends; locks and roles end them",
          "leave it out; tctl lock ends sessions" },
        { "cteleport.v1.RoleOptions",
          "enhanced_recording",
          "a recording contains the output of the terminal; the audit log has each command",
          NULL },
        { "cteleport.v1.RoleOptions",
          "permit_x11_forwarding",
          "X11 is not forwarded",
          NULL },
        { "cteleport.v1.RoleOptions",
          "max_connections max_sessions max_kubernetes_connections",
          "the limits are fixed (limits.md)",
          NULL },
        { "cteleport.v1.RoleOptions",
          "request_access request_prompt",
          "there are no access requests",
          NULL },
        { "cteleport.v1.RoleOptions",
          "lock",
          "locks are always strict",
          NULL },
        { "cteleport.v1.RoleOptions",
          "create_host_user create_host_user_mode create_host_user_default_shell",
          "no accounts are made on nodes",
          NULL },
        { "cteleport.v1.RoleOptions",
          "create_desktop_user create_db_user create_db_user_mode desktop_clipboard desktop_directory_sharing",
          "only SSH and applications are served",
          NULL },
        { "cteleport.v1.RoleOptions",
          "pin_source_ip",
          "certificates are not bound to an address",
          NULL },
        { "cteleport.v1.RoleOptions",
          "idp",
          "there is no identity provider",
          NULL },
        { "cteleport.v1.RoleOptions",
          "device_trust_mode mfa_verification_interval",
          "devices and security keys are not known",
          NULL },
        { "cteleport.v1.RoleOptions",
          "ssh_port_forwarding",
          "one switch for both directions",
          "write port_forwarding: no (or yes) instead" },
        { "cteleport.v1.RecordSession",
          "desktop",
          "only SSH and applications are served",
          NULL },
        { "cteleport.v1.AppSpec",
          "dynamic_labels",
          "a host runs the commands of its own teleport.yaml only",
          "leave it out" },
        { "cteleport.v1.AppSpec",
          "tls",
          "certificates and keys towards an application stay in files of its hosts",
          "write the application into app_service.apps of its hosts" },
        { "cteleport.v1.AppSpec",
          "aws cloud mcp",
          "consoles of clouds and servers of the Model Context Protocol are not served",
          NULL },
        { "cteleport.v1.AppSpec",
          "user_groups integration identity_center",
          "applications are not connected with other systems",
          NULL },
        { "cteleport.v1.RoleConditions",
          "node_labels_expression app_labels_expression",
          "labels are matched by node_labels and app_labels",
          "write it as node_labels or app_labels: keys with values, globs or regular expressions" },
        { "cteleport.v1.RoleConditions",
          "kubernetes_labels kubernetes_labels_expression kubernetes_groups "
          "kubernetes_users kubernetes_resources db_labels db_labels_expression db_names db_users db_roles "
          "db_service_labels db_service_labels_expression db_permissions windows_desktop_labels "
          "windows_desktop_labels_expression windows_desktop_logins desktop_groups aws_role_arns "
          "azure_identities gcp_service_accounts github_permissions mcp",
          "only SSH and applications are served",
          NULL },
        { "cteleport.v1.RoleConditions",
          "cluster_labels cluster_labels_expression",
          "there are no trusted clusters",
          NULL },
        { "cteleport.v1.RoleConditions",
          "group_labels group_labels_expression account_assignments spiffe workload_identity_labels",
          "there is no such resource",
          NULL },
        { "cteleport.v1.RoleConditions",
          "host_groups host_sudoers",
          "no accounts are made on nodes",
          NULL },
        { "cteleport.v1.RoleConditions",
          "impersonate",
          "users do not act for other users",
          NULL },
        { "cteleport.v1.RoleConditions",
          "join_sessions require_session_join",
          "sessions are not joined",
          NULL },
        { "cteleport.v1.RoleConditions",
          "request review_requests",
          "there are no access requests",
          NULL },
        { "cteleport.v1.RoleRule",
          "actions",
          "there are no actions of rules",
          NULL },
        { "cteleport.v1.UserSpec",
          "expires",
          "users do not end by themselves",
          "leave it out; tctl users rm, or tctl lock --user=NAME --ttl=…" },
        { "cteleport.v1.UserSpec",
          "local_auth",
          "secrets are not taken from files",
          "leave it out; tctl users reset NAME makes an invitation" },
        { "cteleport.v1.UserSpec",
          "oidc_identities saml_identities github_identities",
          "there is no single sign-on",
          NULL },
        { "cteleport.v1.UserSpec",
          "trusted_device_ids",
          "devices are not known",
          NULL },
        { "cteleport.v1.UserStatus",
          "locked_message locked_time lock_expires recovery_attempt_lock_expires password_state "
          "mfa_weakest_device",
          "set by the cluster",
          "leave it out; tctl lock locks a user" },
        { "cteleport.v1.CreatedBy",
          "connector",
          "there is no single sign-on",
          NULL },
        { "cteleport.v1.PamConfig",
          "service_name use_pam_auth environment",
          "sshd uses /etc/pam.d/sshd for account and session, and users authenticate by certificate",
          NULL },
        { "cteleport.v1.LockSpec",
          "created_at created_by",
          "set by the cluster",
          NULL },
        { "cteleport.v1.LockTarget",
          "mfa_device windows_desktop access_request device bot_instance_id join_token",
          "there is no such thing to lock",
          NULL },
        { "cteleport.v1.TokenRule",
          "aws_organization_id aws_organizational_units",
          "STS returns account and ARN only",
          "write one rule for each aws_account" },
};

/*
 * Values of such keys that need no feature missing in this release: "PATH=VALUE", where PATH is the key and
 * its sub-keys, and the value `*` means any. Empty values and `enabled: no` need no row.
 */
static const struct {
        const char *type, *values;
} harmless[] = {
        { "cteleport.v1.Metadata", "id=* namespace=default" },
        { "cteleport.v1.TeleportConfig", "cache=* auth_connection_config=* shutdown_delay=0s" },
        { "cteleport.v1.AuthConfig",
          "authentication.type=local authentication.local_auth=yes authentication.connector_name=local "
          "authentication.second_factor=otp authentication.second_factor=on authentication.second_factors=otp "
          "authentication.default_session_ttl=12h authentication.default_session_ttl=12h0m0s authentication.locking_mode=strict "
          "authentication.device_trust.mode=off authentication.device_trust.mode=optional "
          "authentication.passwordless=no authentication.require_session_mfa=no authentication.headless=no "
          "proxy_listener_mode=multiplex session_recording=node proxy_checks_host_keys=yes client_idle_timeout=never "
          "client_idle_timeout=0s client_idle_timeout=0 web_idle_timeout=0s web_idle_timeout=0 "
          "disconnect_expired_cert=no routing_strategy=unambiguous_match license_file=*" },
        { "cteleport.v1.SSHConfig", "permit_user_env=no disable_create_host_user=yes force_listen=no" },
        { "cteleport.v1.TokenSpec", "aws_iid_ttl=0s aws_iid_ttl=0 suggested_agent_matcher_labels=*" },
        { "cteleport.v1.RoleOptions",
          "cert_format=standard create_db_user=no create_desktop_user=no create_host_user=no create_host_user_mode=off "
          "desktop_clipboard=* desktop_directory_sharing=* enhanced_recording=* idp=* pin_source_ip=no "
          "device_trust_mode=off device_trust_mode=optional request_access=optional max_connections=0 max_sessions=0 "
          "max_kubernetes_connections=* permit_x11_forwarding=no mfa_verification_interval=0s create_db_user_mode=off "
          "create_db_user_mode=0 create_host_user_mode=0 disconnect_expired_cert=no lock=strict "
          "ssh_port_forwarding.remote.enabled=yes ssh_port_forwarding.local.enabled=yes" },
        { "cteleport.v1.RecordSession", "desktop=*" },
        { "cteleport.v1.RoleConditions",
          "cluster_labels=* cluster_labels_expression=* kubernetes_labels=* "
          "kubernetes_labels_expression=* kubernetes_groups=* kubernetes_users=* kubernetes_resources=* db_labels=* "
          "db_labels_expression=* db_names=* db_users=* db_roles=* db_service_labels=* db_service_labels_expression=* "
          "db_permissions=* windows_desktop_labels=* windows_desktop_labels_expression=* windows_desktop_logins=* "
          "desktop_groups=* aws_role_arns=* azure_identities=* gcp_service_accounts=* group_labels=* "
          "group_labels_expression=* host_groups=* host_sudoers=* impersonate=* join_sessions=* request=* "
          "review_requests=* spiffe=* account_assignments=* github_permissions=* workload_identity_labels=* mcp=*" },
        { "cteleport.v1.UserSpec", "expires=0001-01-01T00:00:00Z" },
        { "cteleport.v1.UserStatus", "lock_expires=0001-01-01T00:00:00Z locked_time=0001-01-01T00:00:00Z "
                                     "recovery_attempt_lock_expires=0001-01-01T00:00:00Z password_state=* mfa_weakest_device=*" },
        { "cteleport.v1.CreatedBy", "connector=*" },
        { "cteleport.v1.PamConfig", "service_name=sshd use_pam_auth=no" },
        { "cteleport.v1.LockSpec", "created_at=* created_by=*" },
};

static bool is_word_of(struct str words, struct str word)
{
        while (!str_is_empty(words))
                if (str_equal(word, str_split(&words, ' ')))
                        return true;
        return false;
}

/* The index of the row that has the key; ARRAY_LEN(rows) if there is none. */
static size_t find_row(const ProtobufCMessageDescriptor *type, struct str key)
{
        size_t i = 0;

        while (i < ARRAY_LEN(rows) && (strcmp(type->name, rows[i].type) != 0 || !is_word_of(str_of(rows[i].keys), key)))
                i++;
        return i;
}

bool key_is_foreign(const ProtobufCMessageDescriptor *type, struct str key)
{
        return find_row(type, key) < ARRAY_LEN(rows);
}

bool node_is_off(const struct node *section)
{
        const struct node *enabled = section->kind == NODE_MAPPING ? node_member(section, STR("enabled")) : NULL;
        bool is_on = true;

        return enabled != NULL && enabled->kind == NODE_SCALAR && text_as_bool(enabled->text, &is_on) && !is_on;
}

static bool is_same_value(struct str written, struct str wanted)
{
        bool a = false, b = false;

        if (str_equal(wanted, STR("*")))
                return true;
        if (text_as_bool(wanted, &b) && !str_equal(wanted, STR("0")))
                return text_as_bool(written, &a) && a == b;
        return str_equal_nocase(written, wanted);
}

/* Whether the list has "PATH=VALUE" for this path, or "PREFIX=*" for a prefix of the path. */
static bool has_value(struct str list, struct str path, struct str value)
{
        while (!str_is_empty(list)) {
                struct str wanted = str_split(&list, ' ');
                struct str name = str_split(&wanted, '=');
                bool is_below = str_starts_with(path, name) && path.len > name.len && path.ptr[name.len] == '.';

                if (str_equal(path, name) && is_same_value(value, wanted))
                        return true;
                if (is_below && str_equal(wanted, STR("*")))
                        return true;
        }
        return false;
}

/* Whether `enabled: yes` only states the default: then `enabled: no` has an effect and is not harmless. */
static bool is_on_anyway(struct str list, struct str path)
{
        AUTO(buf) enabled = BUF_MAX(LIMIT_YAML_FILE + 4 * KiB);

        buf_put(&enabled, path);
        buf_put_c(&enabled, ".enabled");
        return has_value(list, buf_str(&enabled), STR("yes"));
}

/* Shows enough of the text to find it in the file; a longer text is most likely a secret or a certificate. */
static void put_shown(struct buf *out, struct str text)
{
        enum { SHOWN_MAX = 64 };

        escape_text(out, text, SHOWN_MAX);
}

/*
 * If it is not harmless, *ret_effect gets "PATH: VALUE" of the first value with an effect. Depth is bounded by
 * LIMIT_YAML_DEPTH; nodes repeated by aliases were counted against LIMIT_YAML_NODES.
 */
static bool is_harmless(struct str list, struct str path, const struct node *n, struct buf *ret_effect)
{
        if (n->kind == NODE_SCALAR && (node_is_null(n) || n->text.len == 0 || has_value(list, path, n->text)))
                return true;
        if (n->kind == NODE_SCALAR) {
                put_shown(ret_effect, path);
                buf_put_c(ret_effect, ": ");
                put_shown(ret_effect, n->text);
                return false;
        }
        if (node_is_off(n) && !is_on_anyway(list, path))
                return true;
        for (const struct node_item *i = n->items; i != NULL; i = i->next) {
                AUTO(buf) below = BUF_MAX(LIMIT_YAML_FILE + 4 * KiB);

                buf_put(&below, path);
                if (n->kind == NODE_MAPPING)
                        buf_put_char(&below, '.');
                if (n->kind == NODE_MAPPING)
                        buf_put(&below, i->key->text);
                if (!is_harmless(list, buf_str(&below), i->value, ret_effect))
                        return false;
        }
        return true;
}

static bool has_no_effect(const ProtobufCMessageDescriptor *type, struct str key, const struct node *value, struct buf *ret_effect)
{
        const char *list = "";

        for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
                if (strcmp(type->name, harmless[i].type) == 0)
                        list = harmless[i].values;
        return is_harmless(str_of(list), key, value, ret_effect);
}

bool foreign_key_has_no_effect(const ProtobufCMessageDescriptor *type, struct str key, const struct node *value)
{
        AUTO(buf) effect = BUF_MAX(LIMIT_YAML_FILE);

        return has_no_effect(type, key, value, &effect);
}

struct error *foreign_key_hint(struct error *err, const ProtobufCMessageDescriptor *type, struct str key, const struct node *value)
{
        AUTO(buf) effect = BUF_MAX(LIMIT_YAML_FILE);
        size_t row = find_row(type, key);

        if (rows[row].hint != NULL)
                return error_hint(err, "%s", rows[row].hint);
        bool is_whole = has_no_effect(type, key, value, &effect);
        struct str part = str_slice(buf_str(&effect), key.len, effect.len);
        if (is_whole || value->kind != NODE_MAPPING || !str_starts_with(part, STR(".")) || str_starts_with(part, STR(".enabled:")))
                return error_hint(err, "leave it out: %s", rows[row].why);
        return error_hint(err, "leave out '%.*s': %s", STR_ARG(str_slice(part, 1, part.len)), rows[row].why);
}

bool schema_takes_any_text(const ProtobufCMessageDescriptor *root)
{
        return strcmp(root->name, "cteleport.v1.Config") == 0;
}
