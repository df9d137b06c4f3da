/* SPDX-License-Identifier: Apache-2.0 */
/* tsh status, logout, clusters, env: read or remove the profile on disk. */
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/output.h"
#include "cmd/common/table.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/user.h"
#include "cmd/tsh/show.h"
#include "rpc/pb.h"
#include "tsh.pb-c.h"

enum { VIEW_ARENA = 4 * MiB, PROFILES_SHOWN_MAX = 100 };

const struct flag status_flags[] = {
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

const struct flag clusters_flags[] = {
        { "quiet", 'q', FLAG_SWITCH, .help = "No titles" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

const struct flag env_flags[] = {
        { "unset", .kind = FLAG_SWITCH, .help = "Print commands that remove the settings" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

/* ---- status ---------------------------------------------------------------------------------------------------- */

static char **words_of(struct arena *a, const struct str *items, size_t count)
{
        char **words = arena_alloc(a, (count + 1) * sizeof *words);

        for (size_t i = 0; i < count; i++)
                words[i] = pb_text(str_to_c(a, items[i]));
        return words;
}

static Cteleport__Tsh__V1__Profile *view_of(struct arena *a, const struct profile *p)
{
        Cteleport__Tsh__V1__Profile *view = arena_alloc(a, sizeof *view);

        cteleport__tsh__v1__profile__init(view);
        view->profile_url = pb_text(arena_printf(a, "https://%s", p->web_addr));
        view->username = pb_text(arena_printf(a, "%s", p->user));
        view->cluster = pb_text(arena_printf(a, "%s", p->cluster));
        view->roles = words_of(a, p->roles, p->role_count);
        view->n_roles = p->role_count;
        view->logins = words_of(a, p->logins, p->login_count);
        view->n_logins = p->login_count;
        view->traits = arena_alloc(a, sizeof *view->traits);
        cteleport__tsh__v1__traits__init(view->traits);
        view->traits->logins = view->logins;
        view->traits->n_logins = view->n_logins;
        view->has_kubernetes_enabled = true;
        view->valid_until = arena_alloc(a, sizeof *view->valid_until);
        cteleport__v1__timestamp__init(view->valid_until);
        view->valid_until->seconds = walltime_unix(p->not_after);
        view->extensions = words_of(a, p->extensions, p->extension_count);
        view->n_extensions = p->extension_count;
        return view;
}

/* Adds the other profiles to the printed text, or to the view for JSON and YAML. */
static struct error *add_others(struct arena *a, const struct profile *active, struct walltime now, struct buf *out,
                                Cteleport__Tsh__V1__Status *view)
{
        const char **names = NULL;
        size_t count = 0;

        TRY(profile_names(a, &names, &count));
        view->profiles = arena_alloc(a, (count + 1) * sizeof *view->profiles);
        for (size_t i = 0; i < count && i < PROFILES_SHOWN_MAX; i++) {
                AUTO(profile) p = { 0 };

                if (strcmp(names[i], active->proxy_host) == 0)
                        continue;
                struct error *err = profile_load(&p, names[i], NULL);
                if (err != NULL) { /* a damaged profile does not hide the others */
                        error_free(err);
                        continue;
                }
                show_profile(out, &p, now, false);
                view->profiles[view->n_profiles++] = view_of(a, &p);
        }
        return NULL;
}

struct error *status_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO_PTR(arena) a = arena_new(VIEW_ARENA);
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__Tsh__V1__Status view = CTELEPORT__TSH__V1__STATUS__INIT;
        struct walltime now = clock_wall(clock_system());
        const char *proxy = NULL;

        (void)ctx;
        TRY(user_proxy(a, given, &proxy));
        TRY(profile_load(&p, proxy, flags_text(given, "user")));
        show_profile(&out, &p, now, true);
        view.active = view_of(a, &p);
        TRY(add_others(a, &p, now, &out, &view));
        if (!output_is_text(given)) {
                buf_clear(&out);
                output_put_one(&out, given, &view.base);
        }
        TRY(output_flush(&out));
        return profile_check_times(&p, now);
}

/* ---- logout ------------------------------------------------------------------------------------------------------ */

static struct error *logout_one(const struct flags *given, const char *proxy)
{
        AUTO(profile) p = { 0 };
        const char *user = flags_text(given, "user");
        struct error *err = profile_find(&p, proxy, NULL);

        if (err == NULL && (user == NULL || strcmp(user, p.user) == 0)) {
                app_logins_end(&p);
                TRY(profile_remove(&p));
                printf("Logged out %s from %s.\n", p.user, p.proxy_host);
                return NULL;
        }
        if (err != NULL && err->code != ERROR_NOT_FOUND)
                return err;
        error_free(err);
        AUTO_MEM char *shown_user = escaped(str_of(user == NULL ? "" : user));
        AUTO_MEM char *shown_proxy = escaped(str_of(proxy == NULL ? "" : proxy));
        return error_new(ERROR_NOT_FOUND, "User %s already logged out from %s.", shown_user, shown_proxy);
}

/* Of the profiles that can be read; others are removed as they are. */
static struct error *end_all_app_logins(struct arena *a)
{
        const char **names = NULL;
        size_t count = 0;

        TRY(profile_names(a, &names, &count));
        for (size_t i = 0; i < count; i++) {
                AUTO(profile) p = { 0 };
                AUTO_PTR(error) err = profile_find(&p, names[i], NULL);

                if (err == NULL)
                        app_logins_end(&p);
        }
        return NULL;
}

struct error *logout_run(void *ctx, const struct flags *given)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        const char *proxy = NULL;
        bool any = false;

        (void)ctx;
        TRY(user_proxy(a, given, &proxy));
        if (proxy != NULL || flags_text(given, "user") != NULL)
                return logout_one(given, proxy);
        TRY(end_all_app_logins(a));
        TRY(profile_remove_all(&any));
        puts(any ? "Logged out all users from all proxies." : "All users logged out.");
        return NULL;
}

/* ---- clusters, env ------------------------------------------------------------------------------------------------- */

static bool is_online(const struct profile *p)
{
        AUTO(api_client) a = { 0 };
        AUTO_PTR(error) err = api_client_open(&a, p);

        if (err == NULL)
                err = api_client_connect(&a);
        return err == NULL;
}

struct error *clusters_run(void *ctx, const struct flags *given)
{
        static const char *const titles[] = { "Cluster Name", "Status", "Cluster Type", "Labels", "Selected", NULL };
        AUTO(profile) p = { 0 };
        AUTO(buf) out = BUF_MAX(64 * KiB);
        Cteleport__Tsh__V1__Cluster view = CTELEPORT__TSH__V1__CLUSTER__INIT;
        ProtobufCMessage *views[] = { &view.base };

        (void)ctx;
        TRY(user_load(given, &p));
        const char *status = is_online(&p) ? "online" : "offline";
        if (output_is_text(given)) {
                AUTO_PTR(table) t = flags_switch(given, "quiet") ? table_new_headless(ARRAY_LEN(titles) - 1) : table_new(titles);

                TABLE_ROW(t, str_of(p.cluster), str_of(status), STR("root"), STR(""), STR("*"));
                table_put(&out, t);
                return output_flush(&out);
        }
        view.cluster_name = pb_text(p.cluster);
        view.status = pb_text(status);
        view.cluster_type = pb_text("root");
        view.has_selected = view.selected = true;
        output_put_list(&out, given, views, 1);
        return output_flush(&out);
}

struct error *env_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO(buf) out = BUF_MAX(64 * KiB);
        Cteleport__Tsh__V1__Environment view = CTELEPORT__TSH__V1__ENVIRONMENT__INIT;

        (void)ctx;
        if (flags_switch(given, "unset")) {
                puts("unset TELEPORT_PROXY\nunset TELEPORT_CLUSTER");
                return NULL;
        }
        TRY(user_load(given, &p));
        if (output_is_text(given)) {
                printf("export TELEPORT_PROXY=%s\nexport TELEPORT_CLUSTER=%s\n", p.web_addr, p.cluster);
                return NULL;
        }
        view.teleport_proxy = pb_text(p.web_addr);
        view.teleport_cluster = pb_text(p.cluster);
        output_put_one(&out, given, &view.base);
        return output_flush(&out);
}
