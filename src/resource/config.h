/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Validation of teleport.yaml, and access to its values.
 */
#ifndef RESOURCE_CONFIG_H
#define RESOURCE_CONFIG_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "config.pb-c.h"

#define CONFIG_DATA_DIR "/var/lib/teleport" /* default of data_dir */

enum { CONFIG_WARNINGS_MAX = 8 };
struct config_warnings {
        const char *texts[CONFIG_WARNINGS_MAX];
        size_t count;
};

/*
 * Checks a whole configuration after command line flags were applied, and fills in defaults in place (data_dir,
 * listen_addr, join method, ports of auth_server and proxy_server). New texts live in the arena. INVALID_ARGUMENT names
 * the key. warnings may be NULL.
 */
struct error *config_check(Cteleport__V1__Config *config, struct arena *arena, struct config_warnings *warnings) MUST_USE;

/* Whether a host can join under this name: a host name that is no IP address. INVALID_ARGUMENT names `field`. */
struct error *config_check_nodename(struct str name, const char *field) MUST_USE;

/* Whether a service of the table (services/services.h), such as "auth", is enabled. */
bool config_service_enabled(const Cteleport__V1__Config *config, const char *service);

/* Whether a pin is "sha256:" and 64 hex digits. */
bool config_is_pin(struct str pin);

/* A static token of auth_service.tokens: `node,proxy:SECRET`, or a file with one secret a line. */
struct static_token {
        struct str secret;
        const struct str *roles; /* canonical */
        size_t role_count;
};
/* Reads them all (and the files they name) into the arena. */
struct error *config_static_tokens(const Cteleport__V1__Config *config, struct arena *arena,
                                   const struct static_token **ret, size_t *ret_count) MUST_USE;

/* Durations of auth_service with their defaults and bounds applied. */
struct duration config_host_cert_ttl(const Cteleport__V1__Config *config);
struct duration config_heartbeat_ttl(const Cteleport__V1__Config *config);

/* Whether the next key of the CA jwt signs by ES256 instead of RS256. */
bool config_signs_tokens_by_es256(const Cteleport__V1__Config *config);

/* How long files of the audit log and recordings are kept; see storage in proto/config.proto. Sizes are bytes; 0: no limit. */
struct retention_settings {
        int64_t audit_rotation_size;
        struct duration audit_rotation_age;
        struct duration audit_age;
        int64_t audit_size;
        struct duration recording_age;
        int64_t recording_size;
};
struct retention_settings config_retention(const Cteleport__V1__Config *config);

/* To how many proxies an agent keeps a tunnel, by auth_service.tunnel_strategy; 0: to each, and proxies do not relay. */
uint32_t config_agent_connections(const Cteleport__V1__Config *config);

#endif
