/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/schema_internal.h"

#include "base/text.h"

/* Keys that Teleport reads and this release does not: whoever writes one made no spelling mistake. */
static const struct {
        const char *type, *keys; /* name of a message; keys with a blank between */
} rows[] = {
        { "cteleport.v1.Config", "discovery_service metrics_service debug_service okta_service jamf_service access_graph tracing_service "
                                 "relay_service plugins" },
        { "cteleport.v1.TeleportConfig", "cache connection_limits ciphers kex_algos mac_algos ciphersuites ca_signature_algo "
                                         "auth_connection_config shutdown_delay relay_server" },
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
        { "cteleport.v1.TokenSpec", "aws_iid_ttl bot_name suggested_agent_matcher_labels github circleci kubernetes gitlab gcp azure "
                                    "spacelift tpm terraform_cloud bitbucket oracle azure_devops env0 bound_keypair integration" },
        { "cteleport.v1.TokenRule", "aws_organization_id aws_organizational_units" },
};

bool key_is_foreign(const ProtobufCMessageDescriptor *type, struct str key)
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
