/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Duplicate host detection: two agents with one host ID, such as clones of a machine.
 *
 * If two streams are open, the older one gets a ping, and its answer shows that both agents run. Agents that poll may never
 * have open streams at the same time. Each agent has a nonce, and the host's record stores the latest ones: a nonce that
 * returns after another one shows two agents.
 */
#include "auth/hosts/presence_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "pki/key.h"
#include "rpc/pb.h"

/* The time that the older of two agents with one ID has to answer the ping. */
#define DUPLICATE_TIMEOUT SECONDS(5)

/* ---- reports ------------------------------------------------------------------------------------------ */

static char *warning(const Cteleport__State__V1__Presence *first, const Cteleport__State__V1__Presence *second)
{
        return mem_printf("two live agents have the host ID %s: one at %s, one at %s; this happens when a machine is cloned: stop one, remove "
                          "host_uuid and proc from its data_dir and start it again, it then gets a new ID",
                          first->host_id, first->remote_addr, second->remote_addr);
}

/* Logs and audits the duplicate, at most once in a heartbeat_ttl. */
static void write_down(struct auth *a, const Cteleport__State__V1__Presence *first, Cteleport__State__V1__Presence *second)
{
        struct audit_record record = { 0 };
        int64_t now = loop_wall(&a->loop).ns / 1000000;
        int64_t reported = first->duplicate_reported > second->duplicate_reported ? first->duplicate_reported : second->duplicate_reported;

        second->duplicate_reported = reported;
        if (reported <= now && now - reported < duration_ms(a->heartbeat_ttl))
                return;
        second->duplicate_reported = now;
        log_warn("Two live agents have one host ID", LOG_C("host_id", first->host_id), LOG_C("first", first->remote_addr),
                 LOG_C("second", second->remote_addr), LOG_C("first_name", first->hostname), LOG_C("second_name", second->hostname));
        auth_audit_begin(a, &record, &audit_host_duplicate);
        audit_str(&record, "host_id", str_of(first->host_id));
        audit_str(&record, "first_addr", str_of(first->remote_addr));
        audit_str(&record, "second_addr", str_of(second->remote_addr));
        audit_write(a->audit, &record, NULL, NULL);
}

static void report_both(struct presence *older, struct presence *newer)
{
        AUTO_MEM char *text = warning(older->record, newer->record);

        write_down(older->auth, older->record, newer->record);
        older->record->duplicate_reported = newer->record->duplicate_reported;
        presence_notice(older, "duplicate_host_id", text);
        presence_notice(newer, "duplicate_host_id", text);
}

void duplicates_report_returned(struct presence *p, const Cteleport__State__V1__Presence *known)
{
        AUTO_MEM char *text = warning(known, p->record);

        write_down(p->auth, known, p->record);
        presence_notice(p, "duplicate_host_id", text);
}

/* ---- connected agents ------------------------------------------------------------------------------------- */

void duplicates_on_pong(struct presence *p, struct str nonce)
{
        if (p->ping[0] == '\0' || !str_equal(nonce, str_of(p->ping)))
                return;
        p->ping[0] = '\0';
        timer_stop(p->ping_deadline);
        if (p->above == NULL)
                return;
        report_both(p, p->above);
        presence_settle(p->above);
}

static void on_no_pong(void *ctx)
{
        presence_finish(ctx, error_new(ERROR_UNAVAILABLE, "this agent did not answer when another with its host ID connected"));
}

static void challenge(struct presence *older)
{
        Cteleport__V1__PresenceDown down = CTELEPORT__V1__PRESENCE_DOWN__INIT;
        Cteleport__V1__PresenceDown__Ping ping = CTELEPORT__V1__PRESENCE_DOWN__PING__INIT;
        AUTO(buf) nonce = BUF_MAX(40);

        random_uuid(&nonce);
        memcpy(older->ping, buf_c(&nonce), nonce.len + 1);
        if (older->ping_deadline == NULL)
                older->ping_deadline = timer_new(&older->auth->loop, on_no_pong, older);
        timer_start(older->ping_deadline, DUPLICATE_TIMEOUT);
        ping.nonce = older->ping;
        down.payload_case = CTELEPORT__V1__PRESENCE_DOWN__PAYLOAD_PING;
        down.ping = &ping;
        presence_send(older, &down);
}

void duplicates_enter(struct presence *p)
{
        struct map *live = &p->auth->live;
        struct str host_id = str_of(p->record->host_id);

        for (struct presence *q = map_get(live, host_id), *next; q != NULL; q = next) {
                next = q->below; /* presence_finish(q) may also end the one above q, not this one */
                if (str_equal(q->nonce, p->nonce))
                        presence_finish(q, error_new(ERROR_ABORTED, "this agent connected again"));
        }
        p->is_here = true;
        p->below = map_get(live, host_id);
        if (p->below != NULL) {
                p->below->above = p;
                challenge(p->below);
        }
        map_put(live, host_id, p);
}

void duplicates_leave(struct presence *p)
{
        struct str host_id = str_of(p->record->host_id);
        struct presence *above = p->above;

        p->is_here = false;
        if (p->above != NULL)
                p->above->below = p->below;
        else if (p->below != NULL)
                map_put(&p->auth->live, host_id, p->below);
        else
                map_remove(&p->auth->live, host_id);
        if (p->below != NULL)
                p->below->above = p->above;
        p->above = p->below = NULL;
        if (above != NULL)
                presence_settle(above);
}

/* ---- earlier agents ------------------------------------------------------------------------------------------- */

bool duplicates_remember(struct arena *arena, struct str nonce, const Cteleport__State__V1__Presence *known, Cteleport__State__V1__Presence *record)
{
        bool is_back = false;

        record->process_nonce = pb_text(arena_str(arena, nonce).ptr);
        if (known == NULL)
                return false;
        bool is_same = str_equal(nonce, str_of(known->process_nonce));
        record->duplicate_reported = known->duplicate_reported;
        record->former_nonces = arena_alloc(arena, LIMIT_PRESENCE_FORMER * sizeof *record->former_nonces);
        if (!is_same && known->process_nonce[0] != '\0')
                record->former_nonces[record->n_former_nonces++] = pb_text(arena_str(arena, str_of(known->process_nonce)).ptr);
        for (size_t i = 0; i < known->n_former_nonces; i++) {
                struct str former = str_of(known->former_nonces[i]);

                if (str_equal(former, nonce))
                        is_back = true;
                else if (record->n_former_nonces < LIMIT_PRESENCE_FORMER)
                        record->former_nonces[record->n_former_nonces++] = pb_text(arena_str(arena, former).ptr);
        }
        return is_back;
}
