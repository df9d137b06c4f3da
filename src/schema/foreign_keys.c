/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/schema_internal.h"

#include "base/limits.h"
#include "base/text.h"
#include "schema/node.h"

/* Keys that Teleport reads and this release does not: whoever writes one made no spelling mistake. */
static const struct {
        const char *type, *keys; /* name of a message; keys with a blank between */
} rows[] = {
        { "cteleport.v1.Config", "discovery_service metrics_service debug_service okta_service jamf_service access_graph tracing_service "
                                 "relay_service plugins" },
        { "cteleport.v1.TeleportConfig", "cache connection_limits ciphers kex_algos mac_algos ciphersuites ca_signature_algo "
                                         "auth_connection_config shutdown_delay relay_server diag_addr" },
        { "cteleport.v1.JoinParams", "azure" },
        { "cteleport.v1.StorageConfig", "sync journal poll_stream_period audit_events_uri audit_sessions_uri audit_retention_period peers "
                                        "prefix tls_cert_file tls_key_file tls_ca_file username password_file insecure region "
                                        "table_name continuous_backups auto_scaling conn_string change_feed_conn_string project_id "
                                        "collection_name credentials_path" },
        { "cteleport.v1.AuthConfig", "authentication proxy_listener_mode session_recording proxy_checks_host_keys client_idle_timeout "
                                     "client_idle_timeout_message web_idle_timeout disconnect_expired_cert keep_alive_interval "
                                     "keep_alive_count_max session_control_timeout routing_strategy tunnel_strategy "
                                     "message_of_the_day license_file ca_key_params ssh_dial_timeout proxy_protocol access_monitoring" },
        { "cteleport.v1.ProxyConfig", "acme listen_addr tunnel_listen_addr peer_listen_addr peer_public_addr ssh_public_addr "
                                      "tunnel_public_addr kube_public_addr kube_listen_addr mysql_listen_addr mysql_public_addr "
                                      "postgres_listen_addr postgres_public_addr mongo_listen_addr mongo_public_addr "
                                      "https_key_file https_cert_file trust_x_forwarded_for proxy_protocol ui idp "
                                      "automatic_upgrades_channels" },
        { "cteleport.v1.SSHConfig", "commands pam enhanced_recording permit_user_env disable_create_host_user port_forwarding x11 "
                                    "ssh_file_copy force_listen allow_tcp_forwarding" },
        { "cteleport.v1.OtherServiceConfig", "debug_app apps resources databases aws azure listen_addr kubeconfig_file kube_cluster_name "
                                             "labels commands public_addr ldap discovery hosts static_hosts host_labels "
                                             "show_desktop_wallpaper" },
        { "cteleport.v1.Metadata", "id namespace" },
        { "cteleport.v1.TokenSpec", "aws_iid_ttl bot_name suggested_agent_matcher_labels github circleci kubernetes gitlab gcp azure "
                                    "spacelift tpm terraform_cloud bitbucket oracle azure_devops env0 bound_keypair integration" },
        { "cteleport.v1.RoleOptions", "cert_format disconnect_expired_cert enhanced_recording permit_x11_forwarding max_connections "
                                      "max_kubernetes_connections max_sessions request_access request_prompt lock cert_extensions "
                                      "create_host_user create_host_user_mode create_host_user_default_shell create_desktop_user "
                                      "create_db_user create_db_user_mode pin_source_ip idp device_trust_mode desktop_clipboard "
                                      "desktop_directory_sharing mfa_verification_interval ssh_port_forwarding" },
        { "cteleport.v1.RecordSession", "desktop" },
        { "cteleport.v1.RoleConditions", "node_labels_expression app_labels app_labels_expression cluster_labels cluster_labels_expression "
                                         "kubernetes_labels kubernetes_labels_expression kubernetes_groups kubernetes_users "
                                         "kubernetes_resources db_labels db_labels_expression db_names db_users db_roles "
                                         "db_service_labels db_service_labels_expression db_permissions windows_desktop_labels "
                                         "windows_desktop_labels_expression windows_desktop_logins desktop_groups aws_role_arns "
                                         "azure_identities gcp_service_accounts group_labels group_labels_expression host_groups "
                                         "host_sudoers impersonate join_sessions require_session_join request review_requests spiffe "
                                         "account_assignments github_permissions workload_identity_labels mcp" },
        { "cteleport.v1.RoleRule", "actions" },
        { "cteleport.v1.UserSpec", "expires local_auth oidc_identities saml_identities github_identities trusted_device_ids" },
        { "cteleport.v1.UserStatus", "locked_message locked_time lock_expires recovery_attempt_lock_expires password_state mfa_weakest_device" },
        { "cteleport.v1.LockSpec", "created_at created_by" },
        { "cteleport.v1.LockTarget", "mfa_device windows_desktop access_request device bot_instance_id join_token" },
        { "cteleport.v1.TokenRule", "aws_organization_id aws_organizational_units" },
};

/*
 * Values of such keys that ask for nothing this release does not do: "PATH=VALUE", where PATH is the key and
 * those below it, and the value `*` is any. Empty values and `enabled: no` need no row.
 */
static const struct {
        const char *type, *values;
} harmless[] = {
        { "cteleport.v1.Metadata", "id=* namespace=default" },
        { "cteleport.v1.TeleportConfig", "cache=* auth_connection_config=* shutdown_delay=0s" },
        { "cteleport.v1.AuthConfig",
          "authentication.type=local authentication.local_auth=yes authentication.connector_name=local "
          "authentication.second_factor=otp authentication.second_factor=on authentication.second_factors=otp "
          "authentication.passwordless=no authentication.require_session_mfa=no authentication.headless=no "
          "proxy_listener_mode=multiplex session_recording=node proxy_checks_host_keys=yes client_idle_timeout=never "
          "client_idle_timeout=0s client_idle_timeout=0 web_idle_timeout=0s web_idle_timeout=0 "
          "routing_strategy=unambiguous_match tunnel_strategy.type=agent_mesh license_file=* proxy_protocol=off" },
        { "cteleport.v1.ProxyConfig", "trust_x_forwarded_for=no proxy_protocol=off" },
        { "cteleport.v1.SSHConfig", "permit_user_env=no disable_create_host_user=yes force_listen=no" },
        { "cteleport.v1.TokenSpec", "aws_iid_ttl=0s aws_iid_ttl=0 suggested_agent_matcher_labels=*" },
        { "cteleport.v1.RoleOptions",
          "cert_format=standard create_db_user=no create_desktop_user=no create_host_user=no create_host_user_mode=off "
          "desktop_clipboard=* desktop_directory_sharing=* enhanced_recording=* idp=* pin_source_ip=no "
          "device_trust_mode=off device_trust_mode=optional request_access=optional max_connections=0 max_sessions=0 "
          "max_kubernetes_connections=* permit_x11_forwarding=no mfa_verification_interval=0s create_db_user_mode=off "
          "create_db_user_mode=0 create_host_user_mode=0" },
        { "cteleport.v1.RecordSession", "desktop=*" },
        { "cteleport.v1.RoleConditions",
          "app_labels=* app_labels_expression=* cluster_labels=* cluster_labels_expression=* kubernetes_labels=* "
          "kubernetes_labels_expression=* kubernetes_groups=* kubernetes_users=* kubernetes_resources=* db_labels=* "
          "db_labels_expression=* db_names=* db_users=* db_roles=* db_service_labels=* db_service_labels_expression=* "
          "db_permissions=* windows_desktop_labels=* windows_desktop_labels_expression=* windows_desktop_logins=* "
          "desktop_groups=* aws_role_arns=* azure_identities=* gcp_service_accounts=* group_labels=* "
          "group_labels_expression=* host_groups=* host_sudoers=* impersonate=* join_sessions=* request=* "
          "review_requests=* spiffe=* account_assignments=* github_permissions=* workload_identity_labels=* mcp=*" },
        { "cteleport.v1.UserSpec", "expires=0001-01-01T00:00:00Z" },
        { "cteleport.v1.UserStatus", "lock_expires=0001-01-01T00:00:00Z locked_time=0001-01-01T00:00:00Z "
                                     "recovery_attempt_lock_expires=0001-01-01T00:00:00Z password_state=* mfa_weakest_device=*" },
        { "cteleport.v1.LockSpec", "created_at=* created_by=*" },
};

bool foreign_key_is_known(const ProtobufCMessageDescriptor *type, struct str key)
{
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct str rest = str_of(rows[i].keys);

                if (strcmp(type->name, rows[i].type) != 0)
                        continue;
                while (!str_is_empty(rest))
                        if (str_equal(key, str_split(&rest, ' ')))
                                return true;
        }
        return false;
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

/* Whether the list has "PATH=VALUE" for this path, or "PREFIX=*" for a path that begins with it. */
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

/* Depth is bounded by LIMIT_YAML_DEPTH; nodes that aliases repeat were counted against LIMIT_YAML_NODES. */
static bool is_harmless(struct str list, struct str path, const struct node *n)
{
        if (n->kind == NODE_SCALAR)
                return node_is_null(n) || n->text.len == 0 || has_value(list, path, n->text);
        if (node_is_off(n))
                return true;
        for (const struct node_item *i = n->items; i != NULL; i = i->next) {
                AUTO(buf) below = BUF_MAX(LIMIT_YAML_FILE + 4 * KiB);

                buf_put(&below, path);
                if (n->kind == NODE_MAPPING)
                        buf_put_char(&below, '.');
                if (n->kind == NODE_MAPPING)
                        buf_put(&below, i->key->text);
                if (!is_harmless(list, buf_str(&below), i->value))
                        return false;
        }
        return true;
}

bool foreign_key_has_no_effect(const ProtobufCMessageDescriptor *type, struct str key, const struct node *value)
{
        const char *list = "";

        for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
                if (strcmp(type->name, harmless[i].type) == 0)
                        list = harmless[i].values;
        return is_harmless(str_of(list), key, value);
}

bool schema_takes_any_text(const ProtobufCMessageDescriptor *root)
{
        return strcmp(root->name, "cteleport.v1.Config") == 0;
}
