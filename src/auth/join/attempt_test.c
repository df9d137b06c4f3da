/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A join from the client to the records of the Auth Service, by a join method of two rounds that only this test has: one row
 * (JOIN_METHODS_OF_TEST in meson.build). The signer and the sibling process `sts` are played by the test.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "auth/core/refusal_log.h"
#include "auth/join/tokens.h"
#include "auth/sessions/session_testing.h"
#include "join/client.h"
#include "join/identity_testing.h"
#include "join/method.h"
#include "join/token_check.h"
#include "net/sources.h"
#include "rpc/pb.h"
#include "rpc/wire.h"
#include "state/host.h"

#define TOKEN "badge-token"

/* ---- the method: the host sends the number of its badge, then repeats an unpredictable word ----------------------------- */

static const char *badge;           /* of the host */
static const char *repeated;        /* by the host in the second round; NULL: the challenge */
static bool has_badge;              /* NULL: it can prove nothing */

static void put_params(Teleport__Join__V1__JoinRequest *request, Teleport__Join__V1__ClientParams *params, struct arena *arena)
{
        Teleport__Join__V1__IAMInit *init = arena_alloc(arena, sizeof *init);

        teleport__join__v1__iaminit__init(init);
        init->client_params = params;
        request->payload_case = TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_IAM_INIT;
        request->iam_init = init;
}

static const Teleport__Join__V1__ClientParams *params_of(const Teleport__Join__V1__JoinRequest *request)
{
        return request->payload_case == TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_IAM_INIT ? request->iam_init->client_params : NULL;
}

struct verification {
        int round;
        struct str badge;
};

static void send_challenge(struct join_verifier *v, const char *text)
{
        Teleport__Join__V1__Challenge challenge = TELEPORT__JOIN__V1__CHALLENGE__INIT;
        Teleport__Join__V1__IAMChallenge words = TELEPORT__JOIN__V1__IAMCHALLENGE__INIT;

        words.challenge = pb_text(text);
        challenge.payload_case = TELEPORT__JOIN__V1__CHALLENGE__PAYLOAD_IAM_CHALLENGE;
        challenge.iam_challenge = &words;
        v->ops->challenge(v, &challenge);
}

static void begin_badge(struct join_verifier *v)
{
        struct verification *s = arena_alloc(v->arena, sizeof *s);

        *s = (struct verification){ 0 };
        v->state = s;
        send_challenge(v, "badge?");
}

static void on_process_answer(struct join_verifier *v, const ProtobufCMessage *msg, struct error *err)
{
        struct verification *s = v->state;
        const Cteleport__Internal__V1__StsAnswer *answer = (const Cteleport__Internal__V1__StsAnswer *)msg;

        if (err != NULL) {
                v->ops->refuse(v, "badge", err);
                return;
        }
        join_attributes_add(&v->found.attributes, "badge", s->badge, true);
        join_attributes_add(&v->found.attributes, "owner", arena_str(v->arena, str_of(answer->user_id)), false);
        join_note_number(&v->found, "rounds", s->round);
        v->found.has_proof = true;
        v->ops->proven(v);
}

static void verify_badge(struct join_verifier *v, const Teleport__Join__V1__ChallengeSolution *solution)
{
        struct verification *s = v->state;
        ProtobufCBinaryData bytes = solution->iam_challenge_solution->sts_identity_request;
        struct str said = pb_str(bytes);

        sha256(said, v->found.proof);
        if (s->round++ == 0) {
                s->badge = arena_str(v->arena, said);
                send_challenge(v, "opensesame");
        } else if (!str_equal(said, STR("opensesame"))) {
                v->ops->refuse(v, "badge", error_new(ERROR_PERMISSION_DENIED, "the badge is not the host's"));
        } else {
                Cteleport__Internal__V1__StsQuery query = CTELEPORT__INTERNAL__V1__STS_QUERY__INIT;

                query.host = pb_text(s->badge.ptr);
                v->ops->request(v, CTELEPORT__INTERNAL__V1__STS_VERB__STS_IDENTIFY, &query.base,
                                &cteleport__internal__v1__sts_answer__descriptor, SECONDS(5), on_process_answer);
        }
}

struct answering {
        struct join_prover *prover;
        char text[64];
};

static void on_turn(void *ctx)
{
        struct answering *a = ctx;
        Teleport__Join__V1__IAMChallengeSolution words = TELEPORT__JOIN__V1__IAMCHALLENGE_SOLUTION__INIT;
        Teleport__Join__V1__ChallengeSolution solution = TELEPORT__JOIN__V1__CHALLENGE_SOLUTION__INIT;
        struct str proof = str_of(a->text);

        words.sts_identity_request = pb_bytes(proof);
        solution.payload_case = TELEPORT__JOIN__V1__CHALLENGE_SOLUTION__PAYLOAD_IAM_CHALLENGE_SOLUTION;
        solution.iam_challenge_solution = &words;
        if (has_badge)
                a->prover->ops->solve(a->prover, &solution, proof, str_dup(proof));
        else
                a->prover->ops->give_up(a->prover, error_new(ERROR_NOT_FOUND, "there is no badge"));
        free(a);
}

static struct error *prove_badge(struct join_prover *p, const Teleport__Join__V1__Challenge *challenge)
{
        struct answering *a = NEW(struct answering);
        bool is_first = str_equal(str_of(challenge->iam_challenge->challenge), STR("badge?"));

        a->prover = p;
        snprintf(a->text, sizeof a->text, "%s", is_first ? badge : repeated != NULL ? repeated : challenge->iam_challenge->challenge);
        loop_defer(p->helper, on_turn, a); /* its helper is the loop */
        return NULL;
}

static struct error *no_badge(struct error *err)
{
        err->code = ERROR_FAILED_PRECONDITION;
        return error_wrap(err, "this host cannot show a badge");
}

static void put_badge_binding(struct str token_name, const struct join_attributes *attributes, struct buf *out)
{
        (void)token_name;
        buf_put_c(out, "badge:");
        buf_put(out, join_attribute(attributes, "badge"));
}

const struct join_method join_method_dummy = {
        .name = "dummy",
        .put_params = put_params,
        .params_of = params_of,
        .challenges = { TELEPORT__JOIN__V1__CHALLENGE__PAYLOAD_IAM_CHALLENGE },
        .solutions = { TELEPORT__JOIN__V1__CHALLENGE_SOLUTION__PAYLOAD_IAM_CHALLENGE_SOLUTION },
        .rounds = 2,
        .server_process = "sts",
        .begin = begin_badge,
        .verify = verify_badge,
        .prove = prove_badge,
        .not_proven = no_badge,
        .release_evidence = free,
        .put_binding = put_badge_binding,
};

/* ---- the processes beside auth --------------------------------------------------------------------------------------------- */

struct fixture {
        struct testbed *w;
        struct fake_cluster cluster;
        struct sources sources;
        struct link_service *signer, *sts;
        struct rpc_client *client;
        struct join_client *join;
        struct join_client_options options;
        char asked_badge[64];
        int questions;
        char signed_ids[2][64];    /* host IDs of the certificates */
        int certificates;
        bool is_superseded;        /* another host takes the ID before the join is committed */
        bool is_done;
        struct join_outcome outcome;
        struct error *err;
};

/* The store answers in order: the record is there before the join that waits for the signer is committed. */
static void take_host_id(struct fixture *f, const char *host_id)
{
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        AUTO_PTR(arena) arena = arena_new(16 * KiB);
        struct join_attributes attributes = { 0 };
        struct store_txn *t = store_txn_new(f->w->a.store);

        host.host_id = pb_text(host_id);
        host.hostname = pb_text("other");
        host.join_method = pb_text("dummy");
        join_attributes_add(&attributes, "badge", STR("4712"), true);
        host_set_attributes(&host, &attributes, arena);
        host_put(t, &host, (struct walltime){ 0 });
        store_txn_commit(t, NULL, NULL);
}

static void on_signer_request(void *ctx, uint32_t id, uint16_t verb, struct str body)
{
        struct fixture *f = ctx;
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        AUTO(buf) cert = BUF_MAX(CERT_MAX);
        ProtobufCMessage *msg = NULL;
        char serial[64] = "";

        assert_int_equal(verb, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_HOST);
        assert_done(wire_decode(arena, &cteleport__internal__v1__host_cert_request__descriptor, body, &msg));
        const Cteleport__Internal__V1__HostCertRequest *r = (const Cteleport__Internal__V1__HostCertRequest *)msg;
        struct str name = str_of(r->node_name);
        assert_in_range(f->certificates, 0, 1);
        snprintf(f->signed_ids[f->certificates++], sizeof f->signed_ids[0], "%s", r->host_id);
        if (f->is_superseded && f->certificates == 1)
                take_host_id(f, r->host_id);
        struct cert_times times = fake_times(&f->cluster);
        AUTO_MEM char *common_name = mem_printf("%s." CLUSTER, r->host_id);
        struct x509_subject subject = { .common_name = str_of(common_name), .role = str_of(r->role), .cluster = STR(CLUSTER), .dns_names = &name,
                                        .dns_name_count = 1 };

        assert_done(x509_issue_host(f->cluster.ca.x509, &subject, pb_str(r->tls_public_key), times, &cert, serial));
        Cteleport__Internal__V1__HostCerts certs = CTELEPORT__INTERNAL__V1__HOST_CERTS__INIT;
        certs.tls_cert = pb_bytes(buf_str(&cert));
        certs.not_before = walltime_unix(times.not_before);
        certs.not_after = walltime_unix(times.not_after);
        certs.serial = serial;
        link_service_answer(f->signer, id, &certs.base);
}

static void on_sts_request(void *ctx, uint32_t id, uint16_t verb, struct str body)
{
        struct fixture *f = ctx;
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        ProtobufCMessage *msg = NULL;
        Cteleport__Internal__V1__StsAnswer answer = CTELEPORT__INTERNAL__V1__STS_ANSWER__INIT;

        assert_int_equal(verb, CTELEPORT__INTERNAL__V1__STS_VERB__STS_IDENTIFY);
        assert_done(wire_decode(arena, &cteleport__internal__v1__sts_query__descriptor, body, &msg));
        snprintf(f->asked_badge, sizeof f->asked_badge, "%s", ((const Cteleport__Internal__V1__StsQuery *)msg)->host);
        f->questions++;
        answer.user_id = pb_text("alice");
        link_service_answer(f->sts, id, &answer.base);
}

static void on_unreported(void *ctx, uint64_t count)
{
        (void)ctx;
        (void)count;
}

static void ignore(void *ctx)
{
        (void)ctx;
}

static struct link *connect_process(struct fixture *f, void (*on_request)(void *ctx, uint32_t id, uint16_t verb, struct str body),
                                    struct link_service **ret)
{
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        *ret = link_service_new(&f->w->a.loop, pair[1], on_request, ignore, f);
        return link_new(&f->w->a.loop, pair[0], ignore, f);
}

/* ---- life ------------------------------------------------------------------------------------------------------------------- */

static void given_token(struct fixture *f)
{
        Cteleport__V1__Token token = CTELEPORT__V1__TOKEN__INIT;
        Cteleport__V1__Metadata metadata = CTELEPORT__V1__METADATA__INIT;
        Cteleport__V1__TokenSpec spec = CTELEPORT__V1__TOKEN_SPEC__INIT;
        char *roles[] = { pb_text("Node") };
        AUTO(buf) key = BUF_MAX(LIMIT_STORE_KEY);
        AUTO_PTR(arena) arena = arena_new(64 * KiB);

        metadata.name = pb_text(TOKEN);
        spec.join_method = pb_text("dummy");
        spec.roles = roles;
        spec.n_roles = 1;
        token.kind = pb_text("token");
        token.version = pb_text("v2");
        token.metadata = &metadata;
        token.spec = &spec;
        assert_done(token_check(&token, arena, NULL)); /* the row is all that the check needs */
        buf_put_c(&key, "/tokens/");
        token_put_id(STR(TOKEN), &key);
        put_message(f->w, buf_c(&key), &token.base);
}

static int set_up(void **state)
{
        static Cteleport__Internal__V1__Authority hosts = CTELEPORT__INTERNAL__V1__AUTHORITY__INIT;
        static ProtobufCBinaryData tls, ssh;
        struct fixture *f = NEW(struct fixture);
        void *w = NULL;

        assert_int_equal(testbed_open(&w), 0);
        f->w = w;
        struct auth *a = &f->w->a;
        fake_cluster_init(&f->cluster, loop_wall(&a->loop));
        tls = pb_bytes(buf_str(&f->cluster.ca.cert));
        ssh = pb_bytes(buf_str(&f->cluster.ca.keys.ssh_public));
        hosts.tls_certs = &tls;
        hosts.ssh_keys = &ssh;
        hosts.n_tls_certs = hosts.n_ssh_keys = 1;
        a->authorities.host = &hosts;
        a->host_cert_ttl = HOURS(1);
        a->signer = connect_process(f, on_signer_request, &f->signer);
        a->sts = connect_process(f, on_sts_request, &f->sts);
        f->sources = (struct sources){ .limits = { [SOURCE_JOINS] = { LIMIT_PENDING_JOINS, LIMIT_PENDING_JOINS_PER_SOURCE, 0, 0 } } };
        a->sources = &f->sources;
        a->refusal_log = refusal_log_new(&a->loop, on_unreported, f);
        given_token(f);
        badge = "4711";
        repeated = NULL;
        has_badge = true;
        f->options = (struct join_client_options){ .trust = JOIN_TRUST_VERIFIED, .token_name = TOKEN, .method = "dummy", .host_name = "node-1",
                                                   .helper = &a->loop };
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        void *w = f->w;

        join_outcome_release(&f->outcome);
        error_free(f->err);
        link_close(f->w->a.signer);
        link_close(f->w->a.sts);
        link_service_free(f->signer);
        link_service_free(f->sts);
        refusal_log_free(f->w->a.refusal_log);
        sources_release(&f->sources);
        f->w->a.authorities.host = NULL;
        if (testbed_close(&w) != 0)
                return -1;
        fake_cluster_release(&f->cluster);
        free(f);
        return 0;
}

static void on_done(void *ctx, struct join_outcome *o, struct error *err)
{
        struct fixture *f = ctx;

        assert_false(f->is_done);
        f->is_done = true;
        f->err = err;
        if (o != NULL) {
                f->outcome = *o;
                *o = (struct join_outcome){ 0 };
        }
}

static void join(struct fixture *f)
{
        f->client = connect_as(f->w, CALLER_UNAUTHENTICATED, "", "");
        f->join = join_client_start(&f->w->a.loop, f->client, &f->options, on_done, f);
        AWAIT(f->w, f->is_done);
        rpc_client_close(f->client);
        AWAIT(f->w, f->w->a.callers == NULL);
}

static struct error *taken(struct error **err)
{
        struct error *was = *err;

        *err = NULL;
        return was;
}

/* ---- tests -------------------------------------------------------------------------------------------------------------------- */

static void joins_in_two_rounds(void **state)
{
        struct fixture *f = *state;

        join(f);
        assert_done(taken(&f->err));
        assert_str(f->outcome.identity.role, "Instance");
        assert_str(str_of(f->outcome.evidence), "opensesame"); /* of the last round */
        assert_true(f->outcome.identity.has_join_proof);
        assert_string_equal(f->asked_badge, "4711");
        assert_int_equal(f->questions, 1);
        assert_int_equal(count_events(f->w, "\"method\":\"dummy\""), 1);
        assert_int_equal(count_events(f->w, "\"attributes\":{\"badge\":\"4711\",\"owner\":\"alice\"},\"rounds\":2"), 1);
}

struct found {
        bool is_done, is_same;
        const char *badge;
};

static void on_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct found *found = ctx;
        struct join_attributes recorded, same = { 0 };

        (void)revision;
        assert_null(err);
        assert_non_null(host);
        host_attributes(host, &recorded);
        assert_int_equal(recorded.count, 1);
        assert_str(join_attribute(&recorded, "badge"), "4711");
        assert_str(str_of(host->binding), "badge:4711"); /* derived from the stored record */
        join_attributes_add(&same, "badge", str_of(found->badge), true);
        found->is_same = host_is_same(host, &join_method_dummy, str_of(host->binding), &same);
        found->is_done = true;
}

static void keeps_the_attributes_in_the_hosts_record(void **state)
{
        struct fixture *f = *state;
        struct found same = { .badge = "4711" }, other = { .badge = "4712" };

        join(f);
        assert_done(taken(&f->err));
        host_get(f->w->a.store, f->outcome.identity.host_id, on_host, &same);
        host_get(f->w->a.store, f->outcome.identity.host_id, on_host, &other);
        AWAIT(f->w, same.is_done && other.is_done);
        assert_true(same.is_same);
        assert_false(other.is_same);
}

static void on_no_message(void *ctx, const ProtobufCMessage *msg)
{
        (void)ctx;
        (void)msg;
        fail_msg("a join without a message has no answer");
}

static void on_empty_done(void *ctx, struct error *err)
{
        struct fixture *f = ctx;

        f->is_done = true;
        f->err = err;
}

static void a_join_without_a_message_leaves_no_event(void **state)
{
        static const struct rpc_client_events events = { .on_message = on_no_message, .on_done = on_empty_done };
        struct fixture *f = *state;

        f->client = connect_as(f->w, CALLER_UNAUTHENTICATED, "", "");
        struct rpc_client_call *call = rpc_client_call(f->client,
                                                       (struct rpc_client_call_options){ .path = "/teleport.join.v1.JoinService/Join",
                                                                                         .response = &teleport__join__v1__join_response__descriptor },
                                                       &events, f);
        rpc_client_half_close(call);
        AWAIT(f->w, f->is_done);
        assert_done(taken(&f->err));
        rpc_client_close(f->client);
        AWAIT(f->w, f->w->a.callers == NULL);
        assert_int_equal(count_events(f->w, "instance.join"), 0);
}

static void is_refused_in_the_second_round(void **state)
{
        struct fixture *f = *state;

        repeated = "openbarley";
        join(f);
        assert_refused(taken(&f->err), ERROR_PERMISSION_DENIED, "the badge is not the host's");
        assert_int_equal(f->questions, 0);
        assert_int_equal(count_events(f->w, "\"check\":\"badge\""), 1);
}

static void gives_up_without_a_proof(void **state)
{
        struct fixture *f = *state;

        has_badge = false;
        join(f);
        assert_refused(taken(&f->err), ERROR_FAILED_PRECONDITION, "this host cannot show a badge: there is no badge");
        assert_int_equal(count_events(f->w, "challenge not solved"), 1);
}

static void refuses_the_name_of_another_binding(void **state)
{
        struct fixture *f = *state;

        join(f);
        assert_done(taken(&f->err));
        join_outcome_release(&f->outcome);
        f->is_done = false;
        badge = "4712";
        join(f);
        assert_refused(taken(&f->err), ERROR_ALREADY_EXISTS, "the host name 'node-1' is in use by another host");
}

static void a_host_with_a_taken_id_gets_a_new_one(void **state)
{
        struct fixture *f = *state;

        f->is_superseded = true;
        join(f);
        assert_done(taken(&f->err));
        assert_int_equal(f->certificates, 2);
        assert_string_not_equal(f->signed_ids[0], f->signed_ids[1]);
        assert_str(f->outcome.identity.host_id, f->signed_ids[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(joins_in_two_rounds),
                TEST(keeps_the_attributes_in_the_hosts_record),
                TEST(a_join_without_a_message_leaves_no_event),
                TEST(is_refused_in_the_second_round),
                TEST(gives_up_without_a_proof),
                TEST(refuses_the_name_of_another_binding),
                TEST(a_host_with_a_taken_id_gets_a_new_one),
        };

        return cmocka_run_group_tests_name("attempt", tests, NULL, NULL);
}
