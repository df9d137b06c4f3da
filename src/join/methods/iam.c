/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Join method `iam`: the host signs a GetCallerIdentity request that contains the challenge, and AWS STS identifies the signer.
 *
 *   host    the process aws-sign finds the AWS credentials of the host and signs (aws/sign_client.h)
 *   server  parses the request strictly (sts_request.h); the process sts builds a new request of the checked fields and sends it
 *
 * Steps C3, S2 and S3 of docs/protocols/join.md.
 */
#include "join/methods/iam.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/identity_request.h"
#include "aws/sign_client.h"
#include "aws/sts_answer.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "join/method.h"
#include "join/methods/iam_rule_check.h"
#include "join/methods/iam_rules.h"
#include "join/sts_request.h"
#include "loop/loop.h"
#include "pki/key.h"
#include "resource/join_method.h"
#include "rpc/pb.h"

#define ACCOUNT "account"
#define ARN "arn"

/* ---- messages ------------------------------------------------------------------------------------------------------- */

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
        static const Teleport__Join__V1__ClientParams none = TELEPORT__JOIN__V1__CLIENT_PARAMS__INIT;

        if (request->payload_case != TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_IAM_INIT)
                return NULL;
        return request->iam_init->client_params == NULL ? &none : request->iam_init->client_params;
}

/* ---- the Auth Service: the challenge ---------------------------------------------------------------------------------- */

struct verification {
        char challenge[48];              /* 32 random bytes in base64 without padding; valid for one proof */
        char sts_host[STS_HOST_NAME_MAX]; /* the STS host in the signed request */
        const char *sts_partition;        /* partition of that STS host; static */
        bool has_skew, has_aws_skew;
        int64_t skew_seconds;            /* clock of the host minus clock of this machine */
        int64_t aws_skew_seconds;        /* clock of this machine minus clock of AWS */
};

static void begin(struct join_verifier *v)
{
        struct verification *s = arena_alloc(v->arena, sizeof *s);
        Teleport__Join__V1__Challenge challenge = TELEPORT__JOIN__V1__CHALLENGE__INIT;
        Teleport__Join__V1__IAMChallenge iam = TELEPORT__JOIN__V1__IAMCHALLENGE__INIT;
        uint8_t bytes[32];
        AUTO(buf) text = BUF_MAX(64);

        *s = (struct verification){ 0 };
        v->state = s;
        random_bytes(bytes, sizeof bytes);
        base64_encode_raw(&text, str_of_bytes(bytes, sizeof bytes));
        snprintf(s->challenge, sizeof s->challenge, "%s", buf_c(&text));
        iam.challenge = s->challenge;
        challenge.payload_case = TELEPORT__JOIN__V1__CHALLENGE__PAYLOAD_IAM_CHALLENGE;
        challenge.iam_challenge = &iam;
        v->ops->challenge(v, &challenge);
}

/* ---- the Auth Service: the answer of STS -------------------------------------------------------------------------------- */

struct error *iam_check_identity(const Cteleport__Internal__V1__StsAnswer *answer, const char *sts_host, const char *partition)
{
        struct error *err = sts_identity_check(str_of(answer->account), str_of(answer->arn), str_of(answer->user_id), str_of(partition));

        if (err == NULL)
                return NULL;
        return error_because(error_new(ERROR_PERMISSION_DENIED, "AWS STS (%s) sent an answer that does not prove an identity", sts_host), err);
}

static const char *side_of(int64_t seconds)
{
        return seconds < 0 ? "behind" : "ahead of";
}

/* AWS refused a time that this server accepted: the clock of either may be off. The Date of AWS's answer shows which. */
static struct error *explain_clocks(const struct verification *s, const char *message)
{
        int64_t ours = s->aws_skew_seconds, theirs = ours + s->skew_seconds;

        return error_hint(error_new(ERROR_PERMISSION_DENIED,
                                    "the clock of this host is %lld seconds %s AWS's, that of the Auth Service %lld seconds %s it: "
                                    "AWS STS (%s) refused the signature: %s",
                                    (long long)llabs(theirs), side_of(theirs), (long long)llabs(ours), side_of(ours), s->sts_host, message),
                          "let both follow a time server (chrony, systemd-timesyncd): timedatectl status");
}

static struct error *explain_refusal(const struct verification *s, const Cteleport__Internal__V1__StsAnswer *answer, const char *code,
                                     const char *message)
{
        if (s->has_skew && s->has_aws_skew && sts_refusal_is_about_clock(str_of(answer->code), str_of(answer->message)))
                return explain_clocks(s, message);
        const char *hint = sts_refusal_hint(str_of(answer->code), str_of(answer->message));

        return error_hint(error_new(ERROR_PERMISSION_DENIED, "AWS STS (%s) refused the signature of this host: %s: %s (status %d)", s->sts_host,
                                    code, message, answer->http_status),
                          "%s", hint != NULL ? hint : "`teleport aws identity` on the host shows which credentials are used");
}

static struct error *error_of_answer(const struct verification *s, const Cteleport__Internal__V1__StsAnswer *answer)
{
        AUTO_MEM char *code = escaped(str_of(answer->code));
        AUTO_MEM char *message = escaped(str_of(answer->message));
        const char *colon = code[0] == '\0' ? "" : ": "; /* without a code the message is not from STS */

        switch (answer->outcome) {
        case CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__IDENTIFIED:
                return iam_check_identity(answer, s->sts_host, s->sts_partition);
        case CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__REFUSED:
                return explain_refusal(s, answer, code, message);
        case CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__UNREACHABLE:
                return error_hint(error_because(error_new(ERROR_UNAVAILABLE, "AWS STS (%s) could not be reached", s->sts_host),
                                                error_new(ERROR_UNAVAILABLE, "%s%s%s, after %d %s", code, colon, message, answer->tries,
                                                          answer->tries == 1 ? "try" : "tries")),
                                  "the agent tries again by itself; if it lasts, the administrator finds the reason in the Auth Service's log");
        default:
                return error_because(error_new(ERROR_PERMISSION_DENIED, "AWS STS (%s) sent an answer that does not prove an identity", s->sts_host),
                                     error_new(ERROR_INTERNAL, "%s%s%s", code, colon, message));
        }
}

/* The clock of AWS is the reference: an Auth Service whose clock is off would refuse valid hosts. */
static void compare_clocks(struct join_verifier *v, int64_t aws_date)
{
        struct verification *s = v->state;
        int64_t skew = walltime_unix(loop_wall(v->loop)) - aws_date;
        bool is_off = skew > LIMIT_CLOCK_WARN_SECONDS || skew < -LIMIT_CLOCK_WARN_SECONDS;

        s->has_aws_skew = true;
        s->aws_skew_seconds = skew;
        join_note_number(&v->found, "auth_clock_skew_seconds", skew);
        if (is_off && !v->settings->is_clock_off)
                log_warn("The clock of the Auth Service is off", LOG_INT("ahead_of_aws_by_seconds", skew),
                         LOG_C("hint", "let it follow a time server (chrony, systemd-timesyncd)"));
        v->settings->is_clock_off = is_off;
}

static void on_sts_answer(struct join_verifier *v, const ProtobufCMessage *msg, struct error *err)
{
        const Cteleport__Internal__V1__StsAnswer *answer = (const Cteleport__Internal__V1__StsAnswer *)msg;

        if (err != NULL) {
                v->ops->refuse(v, "sts", error_hint(error_because(error_new(ERROR_UNAVAILABLE, "AWS STS could not be reached"), err),
                                                    "the agent tries again by itself"));
                return;
        }
        v->found.process_ms = answer->ms;
        if (answer->aws_date != 0)
                compare_clocks(v, answer->aws_date);
        /* Without any answer: the STS host that the joining host named is unreachable or does not exist. */
        v->found.is_process_silent = answer->outcome == CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__UNREACHABLE && answer->http_status == 0;
        err = error_of_answer(v->state, answer);
        if (err != NULL) {
                v->ops->refuse(v, "sts", err);
                return;
        }
        join_attributes_add(&v->found.attributes, ACCOUNT, arena_str(v->arena, str_of(answer->account)), true);
        join_attributes_add(&v->found.attributes, ARN, arena_str(v->arena, str_of(answer->arn)), true);
        join_attributes_add(&v->found.attributes, "user_id", arena_str(v->arena, str_of(answer->user_id)), false);
        v->found.has_proof = true;
        v->ops->proven(v);
}

/* ---- the Auth Service: the proof ------------------------------------------------------------------------------------------ */

static void request_sts(struct join_verifier *v, const struct sts_request *request)
{
        Cteleport__Internal__V1__StsQuery q = CTELEPORT__INTERNAL__V1__STS_QUERY__INIT;
        Cteleport__Internal__V1__StsHeader headers[LIMIT_STS_HEADERS];
        Cteleport__Internal__V1__StsHeader *list[LIMIT_STS_HEADERS];
        AUTO_PTR(arena) arena = arena_new(2 * LIMIT_STS_REQUEST);

        for (size_t i = 0; i < request->header_count; i++) {
                cteleport__internal__v1__sts_header__init(&headers[i]);
                headers[i].name = pb_text(arena_str(arena, request->headers[i].name).ptr);
                headers[i].value = pb_text(arena_str(arena, request->headers[i].value).ptr);
                list[i] = &headers[i];
        }
        q.host = pb_text(request->host.name);
        q.headers = list;
        q.n_headers = request->header_count;
        q.within_ms = TIMEOUT_STS_TOTAL;
        q.source = pb_text(v->source);
        v->ops->request(v, CTELEPORT__INTERNAL__V1__STS_VERB__STS_IDENTIFY, &q.base, &cteleport__internal__v1__sts_answer__descriptor,
                        MILLISECONDS(TIMEOUT_STS_TOTAL + 5000), on_sts_answer);
}

static void verify(struct join_verifier *v, const Teleport__Join__V1__ChallengeSolution *solution)
{
        struct verification *s = v->state;
        struct str proof = pb_str(solution->iam_challenge_solution->sts_identity_request);
        struct sts_request request;
        const char *check = "";
        struct sts_expectation expect = {
                .challenge = str_of(s->challenge),
                .binding = v->binding,
                .is_binding_required = v->settings->is_binding_required,
                .now = loop_wall(v->loop),
                .hosts = v->settings->sts_hosts,
        };

        sha256(proof, v->found.proof);
        struct error *err = sts_request_check(proof, &expect, &request, &check);
        if (request.signed_at.ns != 0) {
                s->has_skew = true;
                s->skew_seconds = v->found.clock_skew_seconds = walltime_unix(request.signed_at) - walltime_unix(expect.now);
                join_note_number(&v->found, "clock_skew_seconds", s->skew_seconds);
        }
        snprintf(s->sts_host, sizeof s->sts_host, "%s", request.host.name);
        s->sts_partition = request.host.partition;
        if (s->sts_host[0] != '\0')
                join_note_text(&v->found, "sts_host", s->sts_host);
        wipe(s->challenge, sizeof s->challenge);
        if (err != NULL)
                v->ops->refuse(v, check, err);
        else
                request_sts(v, &request);
}

/* ---- after the proof ------------------------------------------------------------------------------------------------------- */

static struct aws_identity identity_of(const struct join_attributes *a)
{
        return (struct aws_identity){ .account = join_attribute(a, ACCOUNT), .arn = join_attribute(a, ARN), .user_id = join_attribute(a, "user_id") };
}

/* If the method of the token changed during the join, there is no AWS identity, and no rule matches. */
static int find_rule(const Cteleport__V1__TokenSpec *spec, const struct join_attributes *attributes)
{
        struct aws_identity identity = identity_of(attributes);

        return str_is_empty(identity.account) ? -1 : iam_rules_find(spec, &identity);
}

static bool explain_rule(const Cteleport__V1__TokenRule *rule, const struct join_attributes *attributes, struct buf *why)
{
        struct aws_identity identity = identity_of(attributes);

        return iam_rule_matches(rule, &identity, why);
}

static struct error *not_admitted(const char *token_name, const struct join_attributes *attributes)
{
        struct str account = join_attribute(attributes, ACCOUNT);
        AUTO_MEM char *arn = escaped(join_attribute(attributes, ARN));

        return error_hint(error_new(ERROR_PERMISSION_DENIED, "AWS identity %s of account %.*s is not allowed by any rule of token '%s'", arn,
                                    STR_ARG(account), token_name),
                          "an administrator sees why with `tctl tokens explain %s --account %.*s --arn %s` and adds a rule with `tctl edit token/%s`",
                          token_name, STR_ARG(account), arn, token_name);
}

/* The ARN without the session name: a machine that replaces another of its group has the same binding and gets its name. */
static void put_binding(struct str token_name, const struct join_attributes *attributes, struct buf *out)
{
        struct str arn = join_attribute(attributes, ARN), stable = arn;
        struct str assumed = STR(":assumed-role/");
        size_t resource = 0;

        (void)token_name;
        /* The sixth field of an ARN begins after the fifth colon. */
        for (int colons = 0; colons < 5 && resource < arn.len; resource++)
                if (arn.ptr[resource] == ':')
                        colons++;
        if (resource > 0 && str_starts_with(str_slice(arn, resource - 1, arn.len), assumed)) {
                struct str role = str_slice(arn, resource - 1 + assumed.len, arn.len);

                stable = str_slice(arn, 0, resource - 1 + assumed.len + str_find_char(role, '/'));
        }
        buf_put_c(out, "iam:");
        buf_put(out, join_attribute(attributes, ACCOUNT));
        buf_put_char(out, ':');
        buf_put(out, stable);
}

/* "ACCOUNT-i-INSTANCE" names one EC2 instance: in that account AWS gives a session of that name only to this instance. */
static bool owns_host_id(struct str host_id, const struct join_attributes *attributes)
{
        struct str arn = join_attribute(attributes, ARN), session = arn;
        struct str of_account = str_split(&host_id, '-');

        while (str_find_char(session, '/') < session.len)
                (void)str_split(&session, '/');
        return str_equal(of_account, join_attribute(attributes, ACCOUNT)) && str_contains(arn, STR(":assumed-role/")) &&
               str_equal(session, host_id);
}

/* ---- the host ------------------------------------------------------------------------------------------------------------- */

/*
 * The error of a host that cannot sign. The code of its credentials (NOT_FOUND: a profile, UNAVAILABLE: metadata) is replaced,
 * as it would look like an answer of the cluster. The text has the details.
 */
static struct error *not_proven(struct error *err)
{
        if (err->code != ERROR_CANCELLED)
                err->code = ERROR_FAILED_PRECONDITION;
        return error_for(error_wrap(err, "this host cannot prove its AWS identity"), REASON_AWS);
}

static void on_signed(void *ctx, struct aws_signed *s, struct error *err)
{
        struct join_prover *p = ctx;
        Teleport__Join__V1__IAMChallengeSolution iam = TELEPORT__JOIN__V1__IAMCHALLENGE_SOLUTION__INIT;
        Teleport__Join__V1__ChallengeSolution solution = TELEPORT__JOIN__V1__CHALLENGE_SOLUTION__INIT;

        if (err != NULL) {
                p->ops->give_up(p, err);
                return;
        }
        struct aws_signed *evidence = NEW(struct aws_signed);
        *evidence = *s;
        *s = (struct aws_signed){ 0 };
        struct str proof = evidence->answer.request;
        iam.sts_identity_request = pb_bytes(proof);
        solution.payload_case = TELEPORT__JOIN__V1__CHALLENGE_SOLUTION__PAYLOAD_IAM_CHALLENGE_SOLUTION;
        solution.iam_challenge_solution = &iam;
        p->ops->solve(p, &solution, proof, evidence);
}

static struct error *prove(struct join_prover *p, const Teleport__Join__V1__Challenge *challenge)
{
        struct str text = str_of(challenge->iam_challenge->challenge);

        TRY(aws_check_challenge(text));
        if (p->helper == NULL)
                return not_proven(error_new(ERROR_FAILED_PRECONDITION, "no process looks for its AWS credentials"));
        aws_sign_client_request(p->helper, text, p->binding, on_signed, p);
        return NULL;
}

static void cancel(struct join_prover *p)
{
        aws_sign_client_cancel(p->helper);
}

static void log_evidence(const void *evidence)
{
        const struct aws_sign_answer *aws = &((const struct aws_signed *)evidence)->answer;

        for (size_t n = 0; n < aws->warning_count; n++)
                log_warn("AWS configuration", LOG_STR("warning", aws->warnings[n]));
        log_info("Proved the AWS identity of this host", LOG_STR("credentials", aws->source), LOG_STR("region", aws->region),
                 LOG_STR("region_source", aws->region_source), LOG_STR("sts_host", aws->sts_host));
}

static void release_evidence(void *evidence)
{
        if (evidence != NULL)
                aws_signed_release(evidence);
        free(evidence);
}

static void *signer_new(struct loop *l)
{
        return aws_sign_client_new(l);
}

static void signer_connect(void *client, int fd)
{
        aws_sign_client_connect(client, fd);
}

static void signer_fail(void *client, struct error *err)
{
        aws_sign_client_fail(client, err);
}

static bool signer_is_used(const void *client)
{
        return aws_sign_client_has_requested(client);
}

static void signer_free(void *client)
{
        aws_sign_client_free(client);
}

/* A separate process signs: the process that uses the network has no AWS credentials. */
static const struct join_helper signer = {
        .process = "aws-sign",
        .client_new = signer_new,
        .client_connect = signer_connect,
        .client_fail = signer_fail,
        .client_is_used = signer_is_used,
        .client_free = signer_free,
};

const struct join_method join_method_iam = {
        .name = "iam",

        .rule_example = "aws_account: \"123456789012\"",
        .token_example = "for AWS, spec.join_method: iam and spec.allow",
        .check_rule = iam_rule_check,

        .put_params = put_params,
        .params_of = params_of,
        .challenges = { TELEPORT__JOIN__V1__CHALLENGE__PAYLOAD_IAM_CHALLENGE },
        .solutions = { TELEPORT__JOIN__V1__CHALLENGE_SOLUTION__PAYLOAD_IAM_CHALLENGE_SOLUTION },
        .is_in_older_service = true,

        .rounds = 1,
        .server_process = "sts",
        .server_step = "query sts",
        .begin = begin,
        .verify = verify,

        .helper = &signer,
        .prove = prove,
        .cancel = cancel,
        .not_proven = not_proven,
        .log_evidence = log_evidence,
        .release_evidence = release_evidence,

        .find_rule = find_rule,
        .explain_rule = explain_rule,
        .not_admitted = not_admitted,
        .put_binding = put_binding,
        .owns_host_id = owns_host_id,
};
