/* SPDX-License-Identifier: Apache-2.0 */
/* tctl status: the cluster, its authorities, and the CA pins for joining hosts. */
#include "cmd/common/output.h"
#include "cmd/common/table.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/session.h"
#include "tctl.pb-c.h"

const struct flag status_flags[] = {
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

/* The hosts for which the next phase of a rotation waits. */
static void put_behind(struct table *t, const Cteleport__V1__AuthorityStatus *authority)
{
        AUTO(buf) text = BUF_MAX(4 * KiB);

        if (authority->hosts_behind == 0 || strcmp(authority->phase, "standby") == 0)
                return;
        buf_printf(&text, "%u connected %s not taken over this phase%s", authority->hosts_behind, authority->hosts_behind == 1 ? "host has" : "hosts have",
                   authority->n_hosts_behind_names == 0 ? "" : ": "); /* without names: the user may not see them */
        output_put_words(&text, authority->hosts_behind_names, authority->n_hosts_behind_names, ", ");
        if (authority->n_hosts_behind_names > 0 && authority->hosts_behind > authority->n_hosts_behind_names)
                buf_put_c(&text, " …");
        TABLE_ROW(t, STR(""), buf_str(&text));
}

static const char *token_algorithm(const Cteleport__V1__AuthorityKey *key)
{
        return str_starts_with(str_of(key->algorithm), STR("RSA")) ? "RS256" : "ES256";
}

/* The algorithm of tokens for applications. During a rotation the other key may have another one. */
static void put_algorithm(struct table *t, const Cteleport__V1__AuthorityStatus *authority)
{
        AUTO(buf) text = BUF_MAX(1 * KiB);

        if (authority->n_keys == 0 || strcmp(authority->keys[0]->protocol, "JWT") != 0)
                return;
        buf_printf(&text, "signs by %s", token_algorithm(authority->keys[0]));
        for (size_t i = 1; i < authority->n_keys; i++)
                buf_printf(&text, ", %s is trusted too", token_algorithm(authority->keys[i]));
        TABLE_ROW(t, STR(""), buf_str(&text));
}

static void put_table(struct buf *out, const Cteleport__V1__ClusterStatusResponse *status)
{
        AUTO_PTR(table) t = table_new_headless(2);

        TABLE_ROW(t, STR("Cluster"), str_of(status->cluster));
        TABLE_ROW(t, STR("Version"), str_of(status->version));
        for (size_t i = 0; i < status->n_authorities; i++) {
                AUTO(buf) label = BUF_MAX(1 * KiB);

                buf_printf(&label, "%s CA ", status->authorities[i]->type); /* the blank is Teleport's */
                TABLE_ROW(t, buf_str(&label), str_of(status->authorities[i]->rotation));
                put_behind(t, status->authorities[i]);
                put_algorithm(t, status->authorities[i]);
        }
        for (size_t i = 0; i < status->n_ca_pins; i++)
                TABLE_ROW(t, STR("CA pin"), str_of(status->ca_pins[i]));
        for (size_t i = 0; i < status->n_warnings; i++)
                TABLE_ROW(t, STR("Warning"), str_of(status->warnings[i]));
        table_put(out, t);
}

static Cteleport__V1__Timestamp *time_view(struct arena *arena, int64_t seconds)
{
        Cteleport__V1__Timestamp *t = arena_alloc(arena, sizeof *t);

        if (seconds == 0)
                return NULL;
        cteleport__v1__timestamp__init(t);
        t->seconds = seconds;
        return t;
}

static void put_rotation(struct arena *arena, Cteleport__Tctl__V1__Rotation *view, const Cteleport__V1__AuthorityStatus *authority)
{
        AUTO(buf) grace = BUF_MAX(64);

        view->phase = authority->phase;
        view->mode = authority->mode;
        view->current_id = authority->id;
        view->started = time_view(arena, authority->started);
        view->last_rotated = time_view(arena, authority->last_rotated);
        view->has_hosts_behind = true;
        view->hosts_behind = authority->hosts_behind;
        if (authority->grace_seconds == 0)
                return;
        duration_put(&grace, SECONDS(authority->grace_seconds));
        view->grace_period = unconst(str_to_c(arena, buf_str(&grace)));
        if (authority->standby == 0)
                return;
        view->schedule = arena_alloc(arena, sizeof *view->schedule);
        cteleport__tctl__v1__rotation_schedule__init(view->schedule);
        view->schedule->update_clients = time_view(arena, authority->update_clients);
        view->schedule->update_servers = time_view(arena, authority->update_servers);
        view->schedule->standby = time_view(arena, authority->standby);
}

static Cteleport__Tctl__V1__Authority *authority_view(struct arena *arena, char *cluster,
                                                      const Cteleport__V1__AuthorityStatus *authority)
{
        Cteleport__Tctl__V1__Authority *view = arena_alloc(arena, sizeof *view);

        cteleport__tctl__v1__authority__init(view);
        view->cluster_name = cluster;
        view->type = authority->type;
        view->rotation = arena_alloc(arena, sizeof *view->rotation);
        cteleport__tctl__v1__rotation__init(view->rotation);
        view->rotation->state = authority->rotation;
        if (authority->id[0] != '\0')
                put_rotation(arena, view->rotation, authority);
        view->keys = arena_alloc(arena, authority->n_keys * sizeof *view->keys);
        for (size_t i = 0; i < authority->n_keys; i++) {
                Cteleport__Tctl__V1__AuthorityKey *key = arena_alloc(arena, sizeof *key);

                cteleport__tctl__v1__authority_key__init(key);
                key->protocol = authority->keys[i]->protocol;
                key->status = authority->keys[i]->status;
                key->algorithm = authority->keys[i]->algorithm;
                key->storage = authority->keys[i]->storage;
                view->keys[view->n_keys++] = key;
        }
        return view;
}

static void put_view(struct buf *out, const struct flags *given, struct arena *arena,
                     const Cteleport__V1__ClusterStatusResponse *status)
{
        Cteleport__Tctl__V1__Status view = CTELEPORT__TCTL__V1__STATUS__INIT;
        Cteleport__Tctl__V1__Cluster cluster = CTELEPORT__TCTL__V1__CLUSTER__INIT;
        Cteleport__Tctl__V1__Disk disk = CTELEPORT__TCTL__V1__DISK__INIT;

        view.cluster = &cluster;
        if (status->disk_used_percent > 0 || status->disk_free_bytes > 0) /* not of an earlier release */
                view.disk = &disk;
        disk.has_used_percent = true;
        disk.used_percent = status->disk_used_percent;
        disk.has_free_bytes = true;
        disk.free_bytes = status->disk_free_bytes;
        view.warnings = status->warnings;
        view.n_warnings = status->n_warnings;
        cluster.name = status->cluster;
        cluster.version = status->version;
        cluster.ca_pins = status->ca_pins;
        cluster.n_ca_pins = status->n_ca_pins;
        view.authorities = arena_alloc(arena, status->n_authorities * sizeof *view.authorities);
        for (size_t i = 0; i < status->n_authorities; i++)
                view.authorities[view.n_authorities++] = authority_view(arena, status->cluster, status->authorities[i]);
        output_put_one(out, given, &view.base);
}

struct error *status_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        ProtobufCMessage *answer = NULL;

        (void)ctx;
        TRY(session_open(&s, given));
        TRY(session_request_name(&s, "ClusterStatus", NULL, &cteleport__v1__cluster_status_response__descriptor, &answer));
        const Cteleport__V1__ClusterStatusResponse *status = (Cteleport__V1__ClusterStatusResponse *)answer;
        if (output_is_text(given))
                put_table(&out, status);
        else
                put_view(&out, given, s.arena, status);
        return output_flush(&out);
}
