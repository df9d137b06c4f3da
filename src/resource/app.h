/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kind: app — an application that a host offers.
 */
#ifndef RESOURCE_APP_H
#define RESOURCE_APP_H

#include "base/arena.h"
#include "base/error.h"
#include "config.pb-c.h"
#include "resource.pb-c.h"
#include "resource/app_ports.h"
#include "role.pb-c.h"

enum app_scheme { APP_TCP, APP_HTTP, APP_HTTPS };

struct app_uri {
        enum app_scheme scheme;
        const char *target; /* HOST:PORT in canonical form */
        const char *path;   /* "/path" with http and https, "" none: where users begin */
};

/*
 * Reads where a host reaches an application: tcp://HOST:PORT, or http[s]://HOST[:PORT][/PATH]. Texts are in the arena. INVALID_ARGUMENT says
 * what to write.
 */
struct error *app_uri_read(struct arena *arena, struct str uri, struct app_uri *ret) MUST_USE;

/* Whether the uri, which was checked, is one of TCP; the others are of HTTP. */
bool app_is_tcp(struct str uri);

/* app_uri_read(), of which only the target is used. */
struct error *app_uri_parse(struct arena *arena, struct str uri, const char **ret_target) MUST_USE;

/* The target of an application with tcp_ports, whose uri is tcp://HOST, at one of them. */
struct error *app_uri_at(struct arena *arena, struct str uri, uint32_t port, const char **ret_target) MUST_USE;

/* Checks uri and tcp_ports together. */
struct error *app_check_uri(struct arena *arena, struct str uri, struct app_ports ports) MUST_USE;

/* Checks a name; `field` is for the error. */
struct error *app_check_name(struct str name, const char *field) MUST_USE;

/* Checks required_apps of the application `app`. */
struct error *app_check_required(char *const *names, size_t count, struct str app, struct str uri) MUST_USE;

/* Checks public_addr: a name of the DNS in lower case, with a dot, that is none of Teleport's own. "" is none. */
struct error *app_check_public_addr(struct str addr) MUST_USE;

/* Checks rewrite as it is in teleport.yaml, of an application with this uri. NULL is none. */
struct error *app_check_rewrite(const Cteleport__V1__AppRewriteConfig *rewrite, struct str uri) MUST_USE;

/* The same settings in the form of teleport.yaml, in the arena; borrows from the resource, whose metadata and spec are there. */
Cteleport__V1__AppConfig *app_config_of(const Cteleport__V1__App *app, struct arena *arena);

/* The label that tells who has written an application, and its values: set by the cluster. */
#define APP_ORIGIN "teleport.dev/origin"
#define APP_ORIGIN_FILE "config-file" /* teleport.yaml of a host */
#define APP_ORIGIN_DYNAMIC "dynamic"  /* `tctl create` */

/* Whether it is one of a host's teleport.yaml, by that label. */
bool app_is_of_file(const Cteleport__V1__App *app);

/* Sets the label APP_ORIGIN, with memory from the arena, in place of one that is there. */
void app_set_origin(Cteleport__V1__App *app, struct arena *arena, const char *origin);

/*
 * Checks a resource, fills in kind and version and sets its origin, in place, with memory from the arena. INVALID_ARGUMENT names the field and
 * the problem.
 */
struct error *app_check(Cteleport__V1__App *app, struct arena *arena) MUST_USE;

/*
 * Checks a row of app_service.resources. *ret is the same as a selector of roles (ROLE_APP_LABELS), in the arena; it borrows from the matcher.
 */
struct error *app_matcher_read(const Cteleport__V1__Matcher *matcher, struct arena *arena, const Cteleport__V1__RoleConditions **ret) MUST_USE;

/* The application of app_service.debug_app, which its host serves itself. The name of the uri leads nowhere (RFC 6761 section 6.4). */
#define APP_DUMPER "dumper"
#define APP_DUMPER_URI "http://dumper.invalid"

#endif
