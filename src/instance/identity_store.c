/* SPDX-License-Identifier: Apache-2.0 */
/* The identities of this host: loads them, stores new ones on disk, and schedules their renewal. */
#include "instance/instance.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "instance/identity_file.h"
#include "instance/ssh_files.h"
#include "net/cert_watch.h"
#include "rpc/pb.h"

static struct walltime joined_at(const struct instance *i)
{
        return i->joined_before.ns != 0 ? i->joined_before : loop_wall(&i->loop);
}

static void show_identity(struct instance *i, const struct host_identity *id, bool is_new)
{
        bool is_same_host = i->status.host_id != NULL && str_equal(str_of(i->status.host_id), id->host_id);
        struct walltime joined = is_same_host ? i->status.joined
                                 : is_new && !i->is_local ? loop_wall(&i->loop)
                                                          : joined_at(i);
        status_set_identity(&i->status, id->host_id, id->cluster, joined, id->times.not_after);
}

/* For monitoring: when the first of the certificates expires. */
static void show_end(const struct instance *i)
{
        struct walltime first = { 0 };

        for (size_t n = 0; n < SLOT_COUNT; n++) {
                const struct host_identity *id = &i->slots[n].identity;

                if (!host_identity_is_empty(id) && (first.ns == 0 || id->times.not_after.ns < first.ns))
                        first = id->times.not_after;
        }
        metric_set(METRIC_CERTIFICATE_END, "host", "", walltime_unix(first));
}

static bool times_of_slot(void *ctx, size_t n, struct cert_times *ret)
{
        const struct instance *i = ctx;

        *ret = i->slots[n].identity.times;
        ret->not_before = walltime_add(ret->not_before, SECONDS(LIMIT_CERT_BACKDATE_SECONDS)); /* the time of issue */
        return i->slots[n].is_wanted && !host_identity_is_empty(&i->slots[n].identity);
}

static void show_notice(struct instance *i)
{
        const struct slot *first = NULL;
        AUTO(buf) text = BUF_MAX(256);

        for (size_t n = 0; n < SLOT_COUNT; n++) {
                struct cert_times times;
                bool is_near = times_of_slot(i, n, &times) && cert_end_mark(times, loop_wall(&i->loop)) != CERT_END_FAR;

                if (is_near && (first == NULL || times.not_after.ns < first->identity.times.not_after.ns))
                        first = &i->slots[n];
        }
        if (first != NULL) {
                buf_printf(&text, "the certificate of role %s was not renewed, its end is ", first->role);
                walltime_put_rfc3339(&text, first->identity.times.not_after);
        }
        status_set_notice(&i->status, STATUS_NOTICE_CERTIFICATE, first == NULL ? NULL : buf_c(&text));
}

static void on_mark_passed(void *ctx, size_t n, int mark, struct cert_times times)
{
        struct instance *i = ctx;
        AUTO(buf) end = BUF_MAX(256);

        cert_end_put(&end, times, loop_wall(&i->loop));
        if (mark != CERT_END_FAR)
                log_warn("A certificate of this host was not renewed", LOG_C("role", i->slots[n].role), LOG_C("end", buf_c(&end)),
                         LOG_C("hint", "the lines before, and teleport status, have the reason; after its end this host joins again"));
        show_notice(i);
}

void identity_store_watch(struct instance *i)
{
        i->cert_watch = cert_watch_new(&i->loop, (struct cert_watch_options){
                .count = SLOT_COUNT, .times = times_of_slot, .passed = on_mark_passed, .ctx = i });
}

static void hold_identity(struct instance *i, struct slot *s, struct host_identity *id, bool is_new)
{
        uint32_t dice;
        random_bytes(&dice, sizeof dice);
        host_identity_release(&s->identity);
        s->identity = *id;
        s->is_early = false;
        *id = (struct host_identity){ 0 };
        s->renew_at = host_identity_renew_at(&s->identity, dice % 1001);
        /* If the clock is far ahead, each certificate would be due at once: a new one is used for a twentieth of its life. */
        int64_t life = walltime_since(s->identity.times.not_after, s->identity.times.not_before).ns;
        struct walltime soonest = walltime_add(loop_wall(&i->loop), (struct duration){ life / 20 });
        if (is_new && s->renew_at.ns < soonest.ns)
                s->renew_at = soonest;
        show_end(i);
        cert_watch_changed(i->cert_watch);
        if (s == &i->slots[SLOT_INSTANCE] || i->is_local)
                show_identity(i, &s->identity, is_new);
}

/* ---- on disk --------------------------------------------------------------------------------------- */

/* A job on the pool that stores an identity, with its own copies: two fsyncs would delay a join more than its cryptography. */
struct save_job {
        struct instance *instance; /* used by the loop only, like the slot: the work on the pool reads neither */
        struct slot *slot;
        const char *role;  /* a literal */
        char *shown_dir;   /* name of the directory in messages */
        struct buf text;   /* secret; empty: it is on the disk already */
        struct ssh_files ssh; /* empty: sshd does not use this identity */
        char *host_id;     /* for data_dir/host_uuid; NULL when this is not the host's own identity */
        struct error *err;
};

static void save_job_free(void *ctx)
{
        struct save_job *k = ctx;
        error_free(k->err);
        ssh_files_release(&k->ssh);
        wipe(k->text.ptr, k->text.room);
        buf_release(&k->text);
        free(k->shown_dir);
        free(k->host_id);
        free(k);
}

static void save_work(void *ctx)
{
        struct save_job *k = ctx;
        if (k->text.len > 0)
                k->err = identity_write(".", k->role, buf_str(&k->text));
        if (k->err == NULL && k->ssh.host_cert != NULL)
                k->err = ssh_files_write(".", &k->ssh);
        if (k->err != NULL)
                k->err = error_wrap(k->err, "%s", k->shown_dir);
}

/* The supervisor writes the file of the host ID, after the identity is stored. */
static void report_host_id(const struct instance *i, const char *host_id)
{
        service_send(i->service, &(struct child_message){ .kind = CHILD_SENT_HOST_ID, .name = host_id });
}

static void save(struct instance *i, struct slot *s, bool is_new);

void identity_store_store_again(struct instance *i)
{
        for (size_t n = 0; n < SLOT_COUNT; n++)
                if (i->slots[n].is_unstored)
                        save(i, &i->slots[n], true);
}

static void report_stored(struct slot *s, const struct error *err)
{
        AUTO_MEM char *wrote = mem_printf("The process successfully wrote the credentials and state of %s to the disk.",
                                          s->role);
        if (err != NULL && !s->is_reported_unstored)
                log_error("The identity cannot be stored: after a restart this host requests a new one",
                          LOG_C("role", s->role), LOG_ERR(err));
        else if (err == NULL && (!s->is_reported_stored || s->is_reported_unstored))
                log_info(wrote);
        s->is_reported_stored |= err == NULL;
        s->is_reported_unstored = err != NULL;
}

/*
 * A host that cannot store its identity is still a member while it runs. Joining needs no secret, so the host joins
 * again at the next start. The identity is stored when the disk has space again.
 */
static void save_done(void *ctx)
{
        struct save_job *k = ctx;
        struct slot *s = k->slot;
        s->storing = NULL;
        s->is_unstored = k->err != NULL;
        bool is_whole = s != &k->instance->slots[SLOT_NODE] || k->ssh.host_cert != NULL;
        if (k->err == NULL && !s->is_stale && is_whole) {
                s->is_in_place = true;
                sibling_check(k->instance->siblings[s - k->instance->slots]);
        }
        if (k->err == NULL && k->host_id != NULL)
                report_host_id(k->instance, k->host_id);
        if (!k->instance->is_stopping && s->is_stale)
                save(k->instance, s, true);
        else if (!k->instance->is_stopping && s->is_unstored)
                timer_start(k->instance->store_again, MILLISECONDS(PACE_STORE_IDENTITY));
        if (k->text.len > 0)
                report_stored(s, k->err);
        save_job_free(k);
}

void identity_store_release(struct instance *i)
{
        for (size_t n = 0; n < SLOT_COUNT; n++) {
                job_cancel(i->slots[n].storing, save_job_free);
                i->slots[n].storing = NULL;
        }
}

/* Without these files no user can log in, but the host is still a member. */
static void make_ssh_files(const struct slot *s, struct ssh_files *ret)
{
        struct error *err = ssh_files_make(&s->identity, ret);
        if (err != NULL)
                log_error("The SSH Service cannot begin", LOG_ERR(err));
        error_free(err);
}

/* Starts to store the identity of a slot. is_new: it has not been stored yet. */
static void save(struct instance *i, struct slot *s, bool is_new)
{
        s->is_stale = s->storing != NULL;
        if (s->is_stale)
                return; /* save_done stores it again, so that the last identity stays */
        struct save_job *k = NEW(struct save_job);
        *k = (struct save_job){ .instance = i, .slot = s, .role = s->role, .text = identity_buf() };
        k->shown_dir = mem_printf("%s/proc", i->boot->data_dir);
        if (s == &i->slots[SLOT_INSTANCE])
                k->host_id = str_dup(s->identity.host_id);
        if (s == &i->slots[SLOT_NODE])
                make_ssh_files(s, &k->ssh);
        if (is_new)
                identity_put_json(&k->text, &s->identity);
        s->storing = loop_job(&i->loop, save_work, save_done, k);
}

void instance_take_identity(struct instance *i, enum slot_index slot, struct host_identity *identity)
{
        struct slot *s = &i->slots[slot];
        AUTO_MEM char *obtained = mem_printf("%s has obtained credentials to connect to the cluster.", s->role);
        if (host_identity_is_empty(&s->identity))
                log_info(obtained);
        else
                log_info("The certificate was renewed", LOG_C("role", s->role), LOG_STR("serial", identity->serial));
        if (s->keeps_tunnels && !host_identity_is_empty(&s->identity) && !str_equal(s->identity.host_id, identity->host_id))
                i->has_tunnel = false; /* the open tunnels lead to the former host ID */
        hold_identity(i, s, identity, true);
        /* The files of sshd must exist before the SSH Service gets the identity; a proxy reads no files. */
        s->is_in_place = slot != SLOT_NODE;
        save(i, s, true);
        sibling_check(i->siblings[slot]);
}

void identity_store_note_proof(struct instance *i, const struct host_identity *joined)
{
        struct slot *s = &i->slots[SLOT_INSTANCE];
        s->identity.has_join_proof = joined->has_join_proof;
        memcpy(s->identity.join_proof, joined->join_proof, sizeof s->identity.join_proof);
        save(i, s, true);
}

/*
 * Whether a service's identity has the host ID and the cluster of the Instance identity, whose connection obtained it. The file
 * of another host or cluster, which was copied or left over, is not used.
 */
static struct error *check_is_ours(const struct instance *i, const struct host_identity *id)
{
        const struct host_identity *instance = &i->slots[SLOT_INSTANCE].identity;

        if (i->is_local || (str_equal(id->host_id, instance->host_id) && str_equal(id->cluster, instance->cluster)))
                return NULL;
        if (host_identity_is_empty(instance))
                return error_new(ERROR_NOT_FOUND, "this host has no Instance identity");
        return error_new(ERROR_FAILED_PRECONDITION, "it is of host %.*s of cluster %.*s, and this one is %.*s of %.*s", STR_ARG(id->host_id),
                         STR_ARG(id->cluster), STR_ARG(instance->host_id), STR_ARG(instance->cluster));
}

void identity_store_load(struct instance *i)
{
        for (size_t n = 0; n < SLOT_COUNT; n++) {
                struct slot *s = &i->slots[n];
                struct host_identity id = { 0 };
                if (!s->is_wanted)
                        continue;
                struct error *err = identity_load(".", s->role, &i->trust.pins, &id);
                if (err == NULL)
                        err = host_identity_check_times(&id, loop_wall(&i->loop));
                if (err == NULL && n != SLOT_INSTANCE)
                        err = check_is_ours(i, &id);
                /* An expired Instance identity still has the cluster's CAs, which authenticate a server. */
                if (err == NULL || (n == SLOT_INSTANCE && !host_identity_is_empty(&id)))
                        hold_identity(i, s, &id, false);
                else
                        host_identity_release(&id);
                s->is_in_place = n != SLOT_NODE;
                if (n != SLOT_PROXY && !host_identity_is_empty(&s->identity))
                        save(i, s, false); /* restores missing files that depend on it: the host ID, the files of sshd */
                if (err != NULL && err->code != ERROR_NOT_FOUND) {
                        err = error_wrap(err, "%s/proc", i->boot->data_dir);
                        log_warn("The stored identity cannot be used, a new one is requested", LOG_C("role", s->role),
                                 LOG_ERR(err));
                }
                error_free(err);
        }
}

bool identity_store_mark_early(struct instance *i, struct duration skew)
{
        bool is_recent = i->early_at.ns != 0 && instant_since(loop_now(&i->loop), i->early_at).ns < MILLISECONDS(PACE_CLOCK_CHECK).ns;
        bool has_early = false;

        for (size_t n = 0; n < SLOT_COUNT && !is_recent; n++) {
                struct slot *s = &i->slots[n];
                if (!s->is_wanted || host_identity_is_empty(&s->identity) || !host_times_are_early(s->identity.times, loop_wall(&i->loop), skew))
                        continue;
                if (!s->is_early)
                        log_warn("The cluster's clock was set back: a certificate of this host is not valid yet, a new one is requested", LOG_C("role", s->role));
                s->is_early = has_early = true;
        }
        if (has_early)
                i->early_at = loop_now(&i->loop);
        return has_early;
}

void instance_plan_renewal(struct instance *i)
{
        struct walltime first = { INT64_MAX };
        for (size_t n = 0; n < SLOT_COUNT; n++) {
                const struct slot *s = &i->slots[n];
                if (s->is_wanted && !host_identity_is_empty(&s->identity) && s->renew_at.ns < first.ns)
                        first = s->renew_at;
        }
        if (first.ns == INT64_MAX)
                return;
        struct duration left = walltime_since(first, loop_wall(&i->loop));
        timer_start(i->renewal, left.ns > 0 ? left : MILLISECONDS(PACE_RETRY_FIRST));
}
