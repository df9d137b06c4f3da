/* SPDX-License-Identifier: Apache-2.0 */
#include "join/client.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aws/sign_client.h"
#include "aws/sign_service.h"
#include "join/identity_testing.h"
#include "join_legacy.pb-c.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "rpc/pb.h"

#define CHALLENGE "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

/* An Auth Service that answers as the test defines. */
struct fixture {
        struct loop loop;
        struct fake_cluster cluster;
        struct rpc_server_conn *server;
        struct rpc_client *client;
        struct join_client_options options;
        pid_t signer_pid;            /* of the process that signs */

        const char *method;          /* of the token */
        const char *challenge;
        const char *role;            /* in the certificate */
        struct str host_id;          /* in the result */
        bool is_legacy;              /* only the older service is there */
        bool steals_keys;            /* certifies other keys than requested */
        struct rpc_call *call;
        int messages;
        int gave_up;                 /* reason, -1: did not */
        char sent_method[32], sent_proof[64];
        struct str tls_key, ssh_key; /* that the host sent; in the cluster's arena */

        bool is_done;
        struct join_outcome outcome;
        struct error *err;
};

static struct fixture *the; /* methods of a table have no context of their own */

static void reply_certs(struct fixture *f)
{
        AUTO(host_keys) others = { 0 };
        struct host_certificates certs;
        if (f->steals_keys) {
                assert_done(host_keys_generate(&others));
                certs = fake_certify_keys(&f->cluster, f->role, &others);
        } else {
                certs = fake_certify(&f->cluster, f->role, f->tls_key, f->ssh_key, fake_times(&f->cluster));
        }
        ProtobufCBinaryData ca = pb_bytes(certs.tls_ca_certs[0]);
        ProtobufCBinaryData ssh_ca = pb_bytes(certs.ssh_ca_keys[0]);
        Teleport__Join__V1__Certificates c = TELEPORT__JOIN__V1__CERTIFICATES__INIT;
        c.tls_cert = pb_bytes(certs.tls_cert);
        c.n_tls_ca_certs = 1;
        c.tls_ca_certs = &ca;
        c.ssh_cert = pb_bytes(certs.ssh_cert);
        c.n_ssh_ca_keys = 1;
        c.ssh_ca_keys = &ssh_ca;
        Teleport__Join__V1__HostResult host = TELEPORT__JOIN__V1__HOST_RESULT__INIT;
        host.certificates = &c;
        host.host_id = pb_text(f->host_id.ptr);
        Teleport__Join__V1__Result result = TELEPORT__JOIN__V1__RESULT__INIT;
        result.payload_case = TELEPORT__JOIN__V1__RESULT__PAYLOAD_HOST_RESULT;
        result.host_result = &host;
        Teleport__Join__V1__JoinResponse response = TELEPORT__JOIN__V1__JOIN_RESPONSE__INIT;
        response.payload_case = TELEPORT__JOIN__V1__JOIN_RESPONSE__PAYLOAD_RESULT;
        response.result = &result;
        rpc_call_send(f->call, &response.base);
        rpc_call_finish(f->call, NULL);
        f->call = NULL;
}

static void send_init(struct fixture *f)
{
        Teleport__Join__V1__ServerInit init = TELEPORT__JOIN__V1__SERVER_INIT__INIT;
        Teleport__Join__V1__JoinResponse response = TELEPORT__JOIN__V1__JOIN_RESPONSE__INIT;
        init.join_method = pb_text(f->method);
        response.payload_case = TELEPORT__JOIN__V1__JOIN_RESPONSE__PAYLOAD_INIT;
        response.init = &init;
        rpc_call_send(f->call, &response.base);
}

static void send_challenge(struct fixture *f)
{
        Teleport__Join__V1__IAMChallenge iam = TELEPORT__JOIN__V1__IAMCHALLENGE__INIT;
        Teleport__Join__V1__Challenge challenge = TELEPORT__JOIN__V1__CHALLENGE__INIT;
        Teleport__Join__V1__JoinResponse response = TELEPORT__JOIN__V1__JOIN_RESPONSE__INIT;
        iam.challenge = pb_text(f->challenge);
        challenge.payload_case = TELEPORT__JOIN__V1__CHALLENGE__PAYLOAD_IAM_CHALLENGE;
        challenge.iam_challenge = &iam;
        response.payload_case = TELEPORT__JOIN__V1__JOIN_RESPONSE__PAYLOAD_CHALLENGE;
        response.challenge = &challenge;
        rpc_call_send(f->call, &response.base);
}

static void take_keys(struct fixture *f, const Teleport__Join__V1__ClientParams *params)
{
        assert_int_equal(params->payload_case, TELEPORT__JOIN__V1__CLIENT_PARAMS__PAYLOAD_HOST_PARAMS);
        assert_string_equal(params->host_params->host_name, "node-1");
        const Teleport__Join__V1__PublicKeys *keys = params->host_params->public_keys;
        f->tls_key = arena_str(f->cluster.arena, pb_str(keys->public_tls_key));
        f->ssh_key = arena_str(f->cluster.arena, pb_str(keys->public_ssh_key));
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        struct fixture *f = ctx;
        const Teleport__Join__V1__JoinRequest *r = (const Teleport__Join__V1__JoinRequest *)msg;
        f->messages++;
        switch (r->payload_case) {
        case TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_CLIENT_INIT:
                snprintf(f->sent_method, sizeof f->sent_method, "%s", r->client_init->join_method);
                assert_string_equal(r->client_init->system_role, "Instance");
                assert_false(r->client_init->forwarded_by_proxy);
                send_init(f);
                break;
        case TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_TOKEN_INIT:
                take_keys(f, r->token_init->client_params);
                reply_certs(f);
                break;
        case TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_IAM_INIT:
                take_keys(f, r->iam_init->client_params);
                send_challenge(f);
                break;
        case TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_SOLUTION:
                snprintf(f->sent_proof, sizeof f->sent_proof, "%.*s",
                         (int)r->solution->iam_challenge_solution->sts_identity_request.len,
                         (const char *)r->solution->iam_challenge_solution->sts_identity_request.data);
                reply_certs(f);
                break;
        case TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_GIVING_UP:
                f->gave_up = (int)r->giving_up->reason;
                rpc_call_finish(f->call, error_new(ERROR_ABORTED, "the host gave up"));
                f->call = NULL;
                break;
        default:
                fail_msg("unexpected message %d", (int)r->payload_case);
        }
}

static void on_gone(void *ctx)
{
        struct fixture *f = ctx;
        f->call = NULL;
}

static const struct rpc_call_events call_events = { .on_message = on_message, .on_gone = on_gone };

static void open_join(struct rpc_call *call, const ProtobufCMessage *first)
{
        (void)first;
        the->call = call;
        rpc_call_listen(call, &call_events, the);
}

/* ---- the older service ---- */

static ProtobufCBinaryData bytes_of(struct buf *b)
{
        return (ProtobufCBinaryData){ b->len, (uint8_t *)b->ptr };
}

static void on_legacy_message(void *ctx, const ProtobufCMessage *msg)
{
        struct fixture *f = ctx;
        const Proto__RegisterUsingIAMMethodRequest *r = (const Proto__RegisterUsingIAMMethodRequest *)msg;
        const Proto__RegisterUsingTokenRequest *t = r->register_using_token_request;
        AUTO(buf) tls = BUF_MAX(4 * KiB);
        AUTO(buf) ssh = BUF_MAX(4 * KiB);
        AUTO(buf) cert = BUF_MAX(16 * KiB);
        AUTO(buf) ssh_cert = BUF_MAX(16 * KiB);
        AUTO(buf) ca = BUF_MAX(16 * KiB);
        AUTO(buf) ssh_ca = BUF_MAX(16 * KiB);

        assert_string_equal(t->role, f->role);
        assert_string_equal(t->hostid, HOST_ID);
        assert_done(public_key_check_pem(pb_str(t->publictlskey), &tls));
        assert_done(public_key_check_ssh_line(str_trim(pb_str(t->publicsshkey)), &ssh));
        struct host_certificates certs = fake_certify(&f->cluster, f->role, buf_str(&tls), buf_str(&ssh),
                                                      fake_times(&f->cluster));
        cert_der_to_pem(certs.tls_cert, &cert);
        cert_der_to_pem(certs.tls_ca_certs[0], &ca);
        assert_done(ssh_wire_to_line(certs.ssh_cert, &ssh_cert));
        assert_done(ssh_wire_to_line(certs.ssh_ca_keys[0], &ssh_ca));

        ProtobufCBinaryData ca_bytes = bytes_of(&ca), ssh_ca_bytes = bytes_of(&ssh_ca);
        Proto__Certs c = PROTO__CERTS__INIT;
        c.tls = bytes_of(&cert);
        c.ssh = bytes_of(&ssh_cert);
        c.n_tlscacerts = 1;
        c.tlscacerts = &ca_bytes;
        c.n_sshcacerts = 1;
        c.sshcacerts = &ssh_ca_bytes;
        Proto__RegisterUsingIAMMethodResponse response = PROTO__REGISTER_USING_IAMMETHOD_RESPONSE__INIT;
        response.certs = &c;
        rpc_call_send(f->call, &response.base);
        rpc_call_finish(f->call, NULL);
        f->call = NULL;
}

static const struct rpc_call_events legacy_events = { .on_message = on_legacy_message, .on_gone = on_gone };

static void open_legacy(struct rpc_call *call, const ProtobufCMessage *first)
{
        (void)first;
        the->call = call;
        rpc_call_listen(call, &legacy_events, the);
        Proto__RegisterUsingIAMMethodResponse response = PROTO__REGISTER_USING_IAMMETHOD_RESPONSE__INIT;
        response.challenge = pb_text(the->challenge);
        rpc_call_send(call, &response.base);
}

static const struct rpc_method join_method = {
        .path = "/teleport.join.v1.JoinService/Join",
        .request = &teleport__join__v1__join_request__descriptor,
        .request_max = LIMIT_RPC_JOIN,
        .is_client_stream = true,
        .open = open_join,
};
static const struct rpc_method legacy_method = {
        .path = "/proto.JoinService/RegisterUsingIAMMethod",
        .request = &proto__register_using_iammethod_request__descriptor,
        .request_max = LIMIT_RPC_JOIN,
        .is_client_stream = true,
        .open = open_legacy,
};
static const struct rpc_method *const new_methods[] = { &join_method, &legacy_method, NULL };
static const struct rpc_method *const old_methods[] = { &legacy_method, NULL };

/* ---- the stage ---- */

static void on_server_closed(void *caller)
{
        (void)caller;
        the->server = NULL;
}

static void on_client_closed(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err);
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
        rpc_client_close(f->client);
        f->client = NULL;
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);
        *state = the = f;
        assert_done(loop_init(&f->loop, NULL));
        fake_cluster_init(&f->cluster, loop_wall(&f->loop));
        f->method = "iam";
        f->challenge = CHALLENGE;
        f->role = "Instance";
        f->host_id = STR(HOST_ID);
        f->gave_up = -1;
        f->options = (struct join_client_options){ .trust = JOIN_TRUST_VERIFIED, .token_name = "iam-token", .method = "iam",
                                                   .host_name = "node-1" };
        setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
        setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 1);
        setenv("AWS_REGION", "eu-west-1", 1);
        setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
        setenv("AWS_CONFIG_FILE", "/dev/null", 1);
        setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        aws_sign_client_free(f->options.helper);
        if (f->signer_pid > 0)
                assert_int_equal(waitpid(f->signer_pid, NULL, 0), f->signer_pid);
        join_outcome_release(&f->outcome);
        error_free(f->err);
        fake_cluster_release(&f->cluster);
        loop_release(&f->loop);
        free(f);
        return 0;
}

/* As the supervisor does: another process searches for credentials; this one has none. */
static void start_signer(struct fixture *f)
{
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        f->signer_pid = fork();
        if (f->signer_pid == 0) {
                close(pair[0]);
                struct error *err = aws_sign_serve(pair[1], &(struct aws_resolve_options){ 0 });
                _exit(err != NULL);
        }
        close(pair[1]);
        f->options.helper = aws_sign_client_new(&f->loop);
        aws_sign_client_connect(f->options.helper, pair[0]);
}

static struct join_client *begin(struct fixture *f)
{
        start_signer(f);
        int a, b;
        assert_done(socket_pair(&a, &b));
        f->server = rpc_serve(&f->loop, socket_stream(&f->loop, a),
                              (struct rpc_server_options){ .methods = f->is_legacy ? old_methods : new_methods,
                                                           .on_closed = on_server_closed, .peer = "test" });
        f->client = rpc_client_new(&f->loop, socket_stream(&f->loop, b), "test", on_client_closed, f);
        return join_client_start(&f->loop, f->client, &f->options, on_done, f);
}

static void join(struct fixture *f)
{
        (void)begin(f);
        loop_run(&f->loop); /* until both ends have closed */
        assert_true(f->is_done);
}

/* ---- tests ---- */

static void joins_with_its_aws_identity(void **state)
{
        struct fixture *f = *state;
        join(f);
        assert_done(f->err);
        assert_string_equal(f->sent_method, "iam");
        assert_true(str_starts_with(str_of(f->sent_proof), STR("POST / HTTP/1.1\r\nHost: sts.eu-west-1.amazonaws.com")));
        assert_true(str_equal(f->outcome.identity.host_id, STR(HOST_ID)));
        assert_true(str_equal(f->outcome.identity.role, STR("Instance")));
        assert_in_range(duration_ms(f->outcome.clock_skew) + 2000, 0, 4000);
        assert_true(str_equal(((const struct aws_signed *)f->outcome.evidence)->answer.region, STR("eu-west-1")));
}

static void joins_with_a_secret_token(void **state)
{
        struct fixture *f = *state;
        f->method = f->options.method = "token";
        join(f);
        assert_done(f->err);
        assert_int_equal(f->messages, 2);
}

static void signs_nothing_for_an_unverified_server(void **state)
{
        struct fixture *f = *state;
        f->options.trust = JOIN_TRUST_NONE;
        join(f);
        assert_code(f->err, ERROR_UNAUTHENTICATED);
        f->err = NULL;
        assert_int_equal(f->messages, 0);
}

static void does_not_fall_back_to_a_bare_secret(void **state)
{
        struct fixture *f = *state;
        f->method = "token";
        join(f);
        assert_code(f->err, ERROR_FAILED_PRECONDITION);
        f->err = NULL;
        assert_int_equal(f->gave_up, TELEPORT__JOIN__V1__GIVING_UP__REASON__REASON_UNSUPPORTED_JOIN_METHOD);
}

static void reports_missing_credentials_to_the_server(void **state)
{
        struct fixture *f = *state;
        unsetenv("AWS_ACCESS_KEY_ID");
        unsetenv("AWS_SECRET_ACCESS_KEY");
        join(f);
        assert_code(f->err, ERROR_FAILED_PRECONDITION);
        f->err = NULL;
        assert_int_equal(f->gave_up, TELEPORT__JOIN__V1__GIVING_UP__REASON__REASON_CHALLENGE_SOLUTION_FAILED);
}

/* As the code of a join, NOT_FOUND would mean that there is no such token, and UNAVAILABLE that there is no cluster. */
static void separates_local_faults_from_those_of_the_cluster(void **state)
{
        static const enum error_code kinds[] = { ERROR_NOT_FOUND, ERROR_UNAVAILABLE, ERROR_PERMISSION_DENIED,
                                                 ERROR_UNAUTHENTICATED, ERROR_UNIMPLEMENTED, ERROR_UNKNOWN };
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                if (i > 0) {
                        tear_down(state);
                        set_up(state);
                }
                struct fixture *f = *state;
                (void)begin(f);
                aws_sign_client_fail(f->options.helper, error_new(kinds[i], "the token is expired"));
                loop_run(&f->loop);
                assert_true(f->is_done);
                assert_non_null(strstr(f->err->what, "this host cannot prove its AWS identity: "));
                assert_code(f->err, ERROR_FAILED_PRECONDITION);
                f->err = NULL;
                assert_int_equal(f->gave_up, TELEPORT__JOIN__V1__GIVING_UP__REASON__REASON_CHALLENGE_SOLUTION_FAILED);
        }
}

static void refuses_a_result_for_another_host(void **state)
{
        struct fixture *f = *state;
        f->host_id = STR("00000000-1234-4234-8234-123456789abc");
        join(f);
        assert_code(f->err, ERROR_UNAUTHENTICATED);
        f->err = NULL;
}

static void refuses_a_result_for_other_keys(void **state)
{
        struct fixture *f = *state;
        f->steals_keys = true;
        join(f);
        assert_code(f->err, ERROR_UNAUTHENTICATED);
        f->err = NULL;
}

static void refuses_a_result_of_another_role(void **state)
{
        struct fixture *f = *state;
        f->role = "Proxy";
        join(f);
        assert_code(f->err, ERROR_UNAUTHENTICATED);
        f->err = NULL;
}

static void joins_through_the_older_service_where_there_is_no_other(void **state)
{
        struct fixture *f = *state;
        f->is_legacy = true;
        f->options.legacy_host_id = HOST_ID;
        join(f);
        assert_done(f->err);
        assert_true(f->outcome.was_legacy);
        assert_true(str_equal(f->outcome.identity.host_id, STR(HOST_ID)));
}

static void takes_one_role_at_a_time_from_the_older_service(void **state)
{
        struct fixture *f = *state;
        f->role = f->options.legacy_role = "Node";
        f->options.legacy_host_id = HOST_ID;
        join(f);
        assert_done(f->err);
        assert_true(str_equal(f->outcome.identity.role, STR("Node")));
}

static void sends_no_secret_to_the_older_service(void **state)
{
        struct fixture *f = *state;
        f->is_legacy = true;
        f->options.method = "token";
        join(f);
        assert_code(f->err, ERROR_UNIMPLEMENTED);
        f->err = NULL;
}

static void signs_no_challenge_of_another_form(void **state)
{
        struct fixture *f = *state;
        f->challenge = CHALLENGE "=";
        join(f);
        assert_code(f->err, ERROR_INVALID_ARGUMENT);
        f->err = NULL;
        assert_int_equal(f->gave_up, TELEPORT__JOIN__V1__GIVING_UP__REASON__REASON_CHALLENGE_SOLUTION_FAILED);
        assert_int_equal(f->sent_proof[0], '\0');
}

static void signs_no_challenge_of_another_form_for_the_older_service(void **state)
{
        struct fixture *f = *state;
        f->is_legacy = true;
        f->challenge = "c2VjcmV0IGNoYWxsZW5nZQ";
        join(f);
        assert_code(f->err, ERROR_INVALID_ARGUMENT);
        f->err = NULL;
}

static void keeps_the_ca_that_a_pin_proves_in_a_proxys_answer(void **state)
{
        struct fixture *f = *state;
        f->role = f->options.legacy_role = "Node"; /* the role that has an SSH certificate */
        f->options.legacy_host_id = HOST_ID;
        AUTO(buf) pin = BUF_MAX(128);
        assert_done(ca_pin_of_cert(buf_str(&f->cluster.ca.cert), &pin));
        const char *pins[] = { buf_c(&pin) };
        f->options.pins = (struct ca_pins){ pins, 1 };
        join(f);
        assert_done(f->err);
        assert_int_equal(f->outcome.identity.certs.tls_ca_count, 1);
        assert_int_equal(f->outcome.identity.certs.ssh_ca_count, 0);
}

static void trusts_the_ssh_cas_of_a_pinned_auth_service(void **state)
{
        struct fixture *f = *state;
        f->role = f->options.legacy_role = "Node";
        f->options.legacy_host_id = HOST_ID;
        AUTO(buf) pin = BUF_MAX(128);
        assert_done(ca_pin_of_cert(buf_str(&f->cluster.ca.cert), &pin));
        const char *pins[] = { buf_c(&pin) };
        f->options.pins = (struct ca_pins){ pins, 1 };
        f->options.is_auth = true;
        join(f);
        assert_done(f->err);
        assert_int_equal(f->outcome.identity.certs.ssh_ca_count, 1);
}

static void refuses_an_answer_by_a_ca_that_no_pin_names(void **state)
{
        struct fixture *f = *state;
        const char *pins[] = { "sha256:00" };
        f->options.pins = (struct ca_pins){ pins, 1 };
        join(f);
        assert_code(f->err, ERROR_UNAUTHENTICATED);
        f->err = NULL;
}

static void ends_once_when_it_is_cancelled(void **state)
{
        struct fixture *f = *state;
        join_client_cancel(begin(f));
        loop_run(&f->loop);
        assert_true(f->is_done);
        assert_code(f->err, ERROR_CANCELLED);
        f->err = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(joins_with_its_aws_identity),
                TEST(joins_with_a_secret_token),
                TEST(signs_nothing_for_an_unverified_server),
                TEST(does_not_fall_back_to_a_bare_secret),
                TEST(reports_missing_credentials_to_the_server),
                TEST(separates_local_faults_from_those_of_the_cluster),
                TEST(refuses_a_result_for_another_host),
                TEST(refuses_a_result_for_other_keys),
                TEST(refuses_a_result_of_another_role),
                TEST(joins_through_the_older_service_where_there_is_no_other),
                TEST(takes_one_role_at_a_time_from_the_older_service),
                TEST(sends_no_secret_to_the_older_service),
                TEST(signs_no_challenge_of_another_form),
                TEST(signs_no_challenge_of_another_form_for_the_older_service),
                TEST(keeps_the_ca_that_a_pin_proves_in_a_proxys_answer),
                TEST(trusts_the_ssh_cas_of_a_pinned_auth_service),
                TEST(refuses_an_answer_by_a_ca_that_no_pin_names),
                TEST(ends_once_when_it_is_cancelled),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
