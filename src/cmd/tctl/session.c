/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tctl/session.h"

#include <errno.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "cmd/common/config_find.h"
#include "resource/config.h"
#include "rpc/pb.h"

const struct flag session_flags[] = {
        { "config", 'c', FLAG_TEXT, .value = "FILE", .env = "TELEPORT_CONFIG_FILE",
          .help = "Configuration of the Auth Service; " CONFIG_FILE_DEFAULT " if it exists" },
        { "config-string", .kind = FLAG_TEXT, .value = "BASE64", .env = "TELEPORT_CONFIG", .is_hidden = true,
          .help = "A whole configuration file, in base64" },
        { "auth-server", 0, FLAG_TEXT, .value = "ADDR", .env = "TELEPORT_AUTH_SERVER",
          .help = "Use this proxy, as the user who logged in to it with tsh" },
        { "identity", 'i', FLAG_TEXT, .value = "FILE", .env = "TELEPORT_IDENTITY_FILE", .is_hidden = true,
          .help = "Not supported: identity files" },
        { "debug", 'd', FLAG_SWITCH, .help = "Show the address that tctl connects to" },
        { NULL },
};

/* ---- identity of the user ------------------------------------------------------------------------- */

static struct error *open_profile(struct session *s, const char *proxy)
{
        struct error *err = profile_load(&s->profile, proxy, NULL);

        if (err == NULL)
                err = profile_check_times(&s->profile, clock_wall(clock_system()));
        if (err != NULL && proxy != NULL && err->code == ERROR_NOT_FOUND) {
                AUTO_MEM char *shown = escaped(str_of(proxy));

                return error_hint(error_wrap(err, "--auth-server=%s", shown), "tsh login --proxy=%s --user=NAME", shown);
        }
        if (err != NULL)
                return err;
        s->socket_path = NULL;
        s->proxy = s->profile.web_addr;
        return NULL;
}

/* Without a login: the reason why this process cannot use this host's own Auth Service as administrator, if there is one. */
static struct error *nobody(const struct session *s, bool has_auth, struct error *not_logged_in)
{
        if (not_logged_in->code != ERROR_NOT_FOUND)
                return not_logged_in;
        error_free(not_logged_in);
        if (has_auth && access(s->socket_path, R_OK | W_OK) != 0 && errno == EACCES)
                return error_hint(error_errno(EACCES, "Cannot connect to the auth server: %s", s->socket_path),
                                  "run tctl as root, or log in first: tsh login --proxy=HOST --user=NAME");
        return error_hint(error_new(ERROR_UNAUTHENTICATED, "no Auth Service runs on this host, and no user is logged in"),
                          "log in first: tsh login --proxy=HOST --user=NAME; or run tctl where the Auth Service runs");
}

/* A named file must be valid; the default file may be unreadable, because a logged-in user does not need it. */
static struct error *read_config(struct session *s, const struct flags *given, bool *ret_is_named, bool *ret_is_there)
{
        const char *data_dir = CONFIG_DATA_DIR, *path = NULL;
        bool is_named = flags_text(given, "config") != NULL || flags_text(given, "config-string") != NULL;
        struct error *err = config_file_find(s->arena, given, &path, NULL, &s->config);

        if (err != NULL && (is_named || err->code != ERROR_PERMISSION_DENIED))
                return err->code == ERROR_PERMISSION_DENIED ? error_hint(err, "run tctl as root") : err;
        if (err != NULL)
                s->config = config_file_empty(s->arena);
        error_free(err);
        if (s->config->teleport == NULL) {
                s->config->teleport = arena_alloc(s->arena, sizeof *s->config->teleport);
                cteleport__v1__teleport_config__init(s->config->teleport);
        }
        if (s->config->teleport->data_dir != NULL && s->config->teleport->data_dir[0] != '\0')
                data_dir = s->config->teleport->data_dir;
        s->socket_path = arena_printf(s->arena, "%s/auth.sock", data_dir);
        *ret_is_named = is_named;
        *ret_is_there = path != NULL && config_service_enabled(s->config, "auth") && access(data_dir, R_OK | X_OK) == 0;
        return NULL;
}

static struct error *choose(struct session *s, const struct flags *given)
{
        const char *proxy = flags_text(given, "auth-server");
        bool is_named = false, is_there = false;

        if (flags_text(given, "identity") != NULL)
                return error_hint(error_new(ERROR_UNIMPLEMENTED, "identity files are not supported"),
                                  "log in with tsh login, or run tctl where the Auth Service runs");
        TRY(read_config(s, given, &is_named, &is_there));
        if (proxy != NULL && proxy[0] != '\0')
                return open_profile(s, str_to_c(s->arena, name_of_url(str_of(proxy))));
        bool has_auth = config_service_enabled(s->config, "auth");
        if (is_there || (is_named && has_auth) || access(s->socket_path, R_OK | W_OK) == 0)
                return NULL;
        struct error *err = open_profile(s, NULL);
        return err == NULL ? NULL : nobody(s, has_auth, err);
}

struct error *session_open(struct session *s, const struct flags *given)
{
        s->arena = arena_new(LIMIT_TCTL_ARENA);
        TRY(choose(s, given));
        if (s->socket_path != NULL)
                TRY(api_client_open_unix(&s->api_client, s->socket_path));
        else
                TRY(api_client_open(&s->api_client, &s->profile));
        if (!flags_switch(given, "debug"))
                return NULL;
        if (s->socket_path != NULL)
                fprintf(stderr, "connecting to %s\n", s->socket_path);
        else
                fprintf(stderr, "connecting through %s as %s\n", s->proxy, s->profile.user);
        return NULL;
}

void session_release(struct session *s)
{
        api_client_release(&s->api_client);
        profile_release(&s->profile);
        arena_free(s->arena);
        *s = (struct session){ 0 };
}

bool session_is_local(const struct session *s)
{
        return s->socket_path != NULL;
}

/* ---- connecting ---------------------------------------------------------------------------------- */

static struct error *cannot_connect(const struct session *s, struct error *cause)
{
        struct error *err = error_wrap(cause, "Cannot connect to the auth server");

        if (s->socket_path == NULL)
                return err->hint != NULL ? err : error_hint(err, "is %s the proxy, and can it be reached from here", s->proxy);
        if (err->code == ERROR_PERMISSION_DENIED)
                return error_hint(err, "run tctl as root, or as the owner of %s", s->socket_path);
        return error_hint(err, "is the Auth Service running on this host, with the configuration that tctl reads (-c)");
}

/* ---- requests ------------------------------------------------------------------------------------ */

/* Connects first, to distinguish a failed connection from an answer of the Auth Service. */
static struct error *connect_first(struct session *s)
{
        struct error *err = api_client_connect(&s->api_client);

        return err == NULL ? NULL : cannot_connect(s, err);
}

static struct error *explain(const struct session *s, struct error *err)
{
        return error_is_for(err, REASON_CONNECTION) ? cannot_connect(s, err) : err;
}

static const char *path_of(struct session *s, const char *method)
{
        return arena_printf(s->arena, "/cteleport.v1.AdminService/%s", method);
}

struct error *session_request(struct session *s, const char *method, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *answer_type, ProtobufCMessage **ret)
{
        TRY(connect_first(s));
        return explain(s, api_client_request(&s->api_client, path_of(s, method), request, answer_type, ret));
}

struct error *session_request_name(struct session *s, const char *method, const char *name,
                               const ProtobufCMessageDescriptor *answer_type, ProtobufCMessage **ret)
{
        Cteleport__V1__NameRequest request = CTELEPORT__V1__NAME_REQUEST__INIT;
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        if (name == NULL)
                return session_request(s, method, &empty.base, answer_type, ret);
        request.name = pb_text(name);
        return session_request(s, method, &request.base, answer_type, ret);
}

struct error *session_list(struct session *s, const char *method, const ProtobufCMessageDescriptor *page_type,
                           ProtobufCMessage ***ret, size_t *ret_count)
{
        TRY(connect_first(s));
        return explain(s, api_client_list(&s->api_client, path_of(s, method), page_type, ret, ret_count));
}
