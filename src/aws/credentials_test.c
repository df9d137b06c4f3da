/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain of sources on a host: an environment, two files, and a server that acts as metadata service, container
 * endpoint and STS.
 */
#include "aws/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/http_client.h"
#include "net/http_testing.h"
#include "os/file_testing.h"

/* The server's answer to a request that begins with `request` and contains `holds` (NULL: anything). Status 0: no answer. */
struct served {
        const char *request, *holds;
        int status;
        const char *body;
};

struct chain_case {
        const char *name;
        const char *env[8]; /* "NAME=value"; "@" stands for the server's URL */
        const char *config, *credentials;
        struct served served[6];
        const char *key_id; /* the source that is used, or NULL for an error */
        const char *sends;   /* part of the error, or of the source */
        const char *region; /* or NULL */
        unsigned requests;  /* that the server saw */
};

struct fixture {
        struct loop loop;
        struct http_peer peer;
        const struct chain_case *c;
        char *home;
        char *env_text[8];
        bool done;
        struct aws_resolution r;
        struct error *err;
        char *last_request;
};

#define KEYS(id, token_name)                                                                                           \
        "{\"Code\":\"Success\",\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"s3cr3t\",\"" token_name                  \
        "\":\"t0ken\",\"Expiration\":\"2199-01-01T00:00:00Z\"}"
#define ROLES  "GET /latest/meta-data/iam/security-credentials/ "
#define ROLE   "GET /latest/meta-data/iam/security-credentials/web "
#define TOKEN  "PUT /latest/api/token "
#define REGION "GET /latest/meta-data/placement/region "
#define WITH_TOKEN "X-aws-ec2-metadata-token: TOKEN\r\n"
#define HERE "AWS_EC2_METADATA_SERVICE_ENDPOINT=@/"
#define OFF  "AWS_EC2_METADATA_DISABLED=true"
#define STS_ANSWER(action)                                                                                             \
        "{\"" action "Response\":{\"" action "Result\":{\"Credentials\":{\"AccessKeyId\":\"ASIAROLE\","                \
        "\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\",\"Expiration\":7226582400.0}}}}"
#define STS_XML                                                                                                        \
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAXML</AccessKeyId><SecretAccessKey>s"      \
        "</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2199-01-01T00:00:00Z</Expiration></Credentials>"  \
        "</AssumeRoleResult></AssumeRoleResponse>"

static const struct chain_case cases[] = {
        { "the environment wins over everything",
          { "AWS_ACCESS_KEY_ID=AKIDENV", "AWS_SECRET_ACCESS_KEY=s", "AWS_SESSION_TOKEN=t", "AWS_REGION=eu-west-1" },
          "[default]\nregion = us-west-2", "[default]\naws_access_key_id = x\naws_secret_access_key = y", { { 0 } },
          "AKIDENV", "environment", "eu-west-1", 0 },
        { "AWS_PROFILE does not beat keys of the environment, but its region counts",
          { "AWS_ACCESS_KEY_ID=AKIDENV", "AWS_SECRET_ACCESS_KEY=s", "AWS_PROFILE=p" },
          "[profile p]\nregion = us-west-2", "[p]\naws_access_key_id = x\naws_secret_access_key = y", { { 0 } },
          "AKIDENV", "environment", "us-west-2", 0 },
        { "half a pair in the environment", { "AWS_ACCESS_KEY_ID=AKIDENV", "AWS_REGION=eu-west-1", OFF }, "", "", { { 0 } },
          NULL, "AWS_SECRET_ACCESS_KEY is not", NULL, 0 },
        { "blank values are absent", { "AWS_ACCESS_KEY_ID=  ", "AWS_SECRET_ACCESS_KEY=", "AWS_REGION=eu-west-1" }, "",
          "[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = y", { { 0 } }, "AKIDFILE",
          "profile 'default'", "eu-west-1", 0 },
        { "expired keys of the environment",
          { "AWS_ACCESS_KEY_ID=A", "AWS_SECRET_ACCESS_KEY=s", "AWS_REGION=eu-west-1",
            "AWS_CREDENTIAL_EXPIRATION=2020-01-01T00:00:00Z" }, "", "", { { 0 } }, NULL, "expired at", NULL, 0 },
        { "a profile of the config file", { "AWS_PROFILE=p" },
          "[profile p]\nregion=us-east-2\naws_access_key_id = AKIDCONF\naws_secret_access_key = y", "", { { 0 } },
          "AKIDCONF", "profile 'p'", "us-east-2", 0 },
        { "a profile that is not there", { "AWS_PROFILE=nope", "AWS_REGION=eu-west-1" }, "[default]", "", { { 0 } },
          NULL, "'nope' is neither in", NULL, 0 },
        { "a file that is not understood", { "AWS_REGION=eu-west-1", OFF }, "[default", "", { { 0 } }, NULL,
          "config:1: a section must end", NULL, 0 },
        { "an SSO profile", { "AWS_REGION=eu-west-1", OFF }, "[default]\nsso_session = x\nsso_account_id = 1", "", { { 0 } },
          NULL, "uses SSO", NULL, 0 },
        { "a region that is none", { "AWS_REGION=moon", OFF }, "", "", { { 0 } }, NULL, "'moon' is not an AWS region",
          NULL, 0 },
        { "nothing at all", { "AWS_REGION=eu-west-1", OFF }, "", "", { { 0 } }, NULL,
          "environment: AWS_ACCESS_KEY_ID is not set; web identity:", NULL, 0 },
        { "no region anywhere", { "AWS_ACCESS_KEY_ID=AKIDENV", "AWS_SECRET_ACCESS_KEY=s", OFF }, "", "", { { 0 } },
          "AKIDENV", "environment", "us-east-1", 0 },

        { "IMDSv2, region and all", { HERE }, "", "",
          { { TOKEN, "X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n", 200, "TOKEN" },
            { REGION, WITH_TOKEN, 200, "ap-south-1" }, { ROLES, WITH_TOKEN, 200, "web\n" },
            { ROLE, WITH_TOKEN, 200, KEYS("ASIAEC2", "Token") } },
          "ASIAEC2", "instance metadata", "ap-south-1", 4 },
        { "IMDSv1 where there are no tokens", { HERE, "AWS_REGION=eu-west-1" }, "", "",
          { { TOKEN, NULL, 404, "" }, { ROLES, NULL, 200, "web" }, { ROLE, NULL, 200, KEYS("ASIAV1", "Token") } },
          "ASIAV1", "instance metadata", "eu-west-1", 3 },
        { "IMDSv1 is disabled", { HERE, "AWS_REGION=eu-west-1", "AWS_EC2_METADATA_V1_DISABLED=true" }, "", "",
          { { TOKEN, NULL, 403, "" }, { ROLES, NULL, 200, "web" } }, NULL, "requests without one are disabled", NULL, 1 },
        { "a bad request for a token", { HERE, "AWS_REGION=eu-west-1" }, "", "", { { TOKEN, NULL, 400, "" } }, NULL,
          "HTTP status 400", NULL, 1 },
        { "no role is attached", { HERE, "AWS_REGION=eu-west-1" }, "", "",
          { { TOKEN, NULL, 200, "TOKEN" }, { ROLES, NULL, 404, "" } }, NULL, "no IAM role is attached", NULL, 2 },
        { "a role that EC2 may not assume", { HERE, "AWS_REGION=eu-west-1" }, "", "",
          { { TOKEN, NULL, 200, "TOKEN" }, { ROLES, NULL, 200, "web" },
            { ROLE, NULL, 200, "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"EC2 cannot\"}" } }, NULL,
          "AssumeRoleUnauthorizedAccess EC2 cannot", NULL, 3 },
        { "a role name that is a path", { HERE, "AWS_REGION=eu-west-1" }, "", "",
          { { TOKEN, NULL, 200, "TOKEN" }, { ROLES, NULL, 200, "../../secret" } }, NULL, "names no role", NULL, 2 },
        { "expired keys of the instance are tried all the same", { HERE, "AWS_REGION=eu-west-1" }, "", "",
          { { TOKEN, NULL, 200, "TOKEN" }, { ROLES, NULL, 200, "web" },
            { ROLE, NULL, 200, "{\"AccessKeyId\":\"ASIAOLD\",\"SecretAccessKey\":\"s\",\"Token\":\"t\","
                               "\"Expiration\":\"2020-01-01T00:00:00Z\"}" } },
          "ASIAOLD", "instance metadata", "eu-west-1", 3 },
        { "an answer without a secret", { HERE, "AWS_REGION=eu-west-1" }, "", "",
          { { TOKEN, NULL, 200, "TOKEN" }, { ROLES, NULL, 200, "web" }, { ROLE, NULL, 200, "{\"AccessKeyId\":\"A\"}" } },
          NULL, "no SecretAccessKey", NULL, 3 },
        { "nothing at the metadata address", { "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1" }, "", "", { { 0 } },
          NULL, "no connection to", NULL, 0 },
        { "a metadata address that is none", { "AWS_EC2_METADATA_SERVICE_ENDPOINT=nowhere" }, "", "", { { 0 } }, NULL,
          "not the URL of an instance metadata", NULL, 0 },
        { "silence to the request for a token, then version 1",
          { HERE, "AWS_REGION=eu-west-1", "AWS_METADATA_SERVICE_TIMEOUT=1" }, "", "",
          { { TOKEN, NULL, 0, "" }, { ROLES, NULL, 200, "web" }, { ROLE, NULL, 200, KEYS("ASIAV1", "Token") } },
          "ASIAV1", "instance metadata", "eu-west-1", 3 },

        { "a container", { "AWS_CONTAINER_CREDENTIALS_FULL_URI=@/creds?x=1", "AWS_REGION=eu-west-1",
                           "AWS_CONTAINER_AUTHORIZATION_TOKEN=Basic abc" }, "", "",
          { { "GET /creds?x=1 ", "Authorization: Basic abc\r\n", 200, KEYS("ASIAECS", "Token") } }, "ASIAECS",
          "container", "eu-west-1", 1 },
        { "a container that refuses is the end of the chain",
          { "AWS_CONTAINER_CREDENTIALS_FULL_URI=@/creds", "AWS_REGION=eu-west-1", HERE }, "", "",
          { { "GET /creds ", NULL, 403, "" } }, NULL, "HTTP status 403", NULL, 1 },
        { "a token with a newline",
          { "AWS_CONTAINER_CREDENTIALS_FULL_URI=@/creds", "AWS_REGION=eu-west-1",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN=abc\n" }, "", "", { { 0 } }, NULL, "line break", NULL, 0 },
        { "a container far away", { "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://192.0.2.1/x", "AWS_REGION=eu-west-1" },
          "", "", { { 0 } }, NULL, "plain http may go only", NULL, 0 },

        { "a process", { "AWS_REGION=eu-west-1" },
          "[default]\ncredential_process = /bin/echo '{\"Version\":1,\"AccessKeyId\":\"AKIDPROC\",\"SecretAccessKey\":\"s\"}'",
          "", { { 0 } }, "AKIDPROC", "credential_process of profile 'default'", "eu-west-1", 0 },
        { "a process that fails", { "AWS_REGION=eu-west-1" }, "[default]\ncredential_process = /bin/false", "", { { 0 } },
          NULL, "ended with status 1", NULL, 0 },
        { "a process that is not there", { "AWS_REGION=eu-west-1" }, "[default]\ncredential_process = /no/such -x", "",
          { { 0 } }, NULL, "cannot be started", NULL, 0 },
        { "a process of another version", { "AWS_REGION=eu-west-1" },
          "[default]\ncredential_process = /bin/echo '{\"Version\":2,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s3cr3t\"}'",
          "", { { 0 } }, NULL, "no \"Version\": 1", NULL, 0 },
        { "a process that talks on and on", { "AWS_REGION=eu-west-1" },
          "[default]\ncredential_process = /usr/bin/yes s3cr3t", "", { { 0 } }, NULL, "more than 65536 bytes", NULL, 0 },

        { "a role over keys", { "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL_STS=@/", "AWS_PROFILE=p" },
          "[profile p]\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = base\nexternal_id = e/x\n"
          "role_session_name = me\n[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = y", "",
          { { "POST / ", "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fx&"
                         "RoleSessionName=me&ExternalId=e%2Fx", 200, STS_ANSWER("AssumeRole") } },
          "ASIAROLE", "profile 'p'", "eu-west-1", 1 },
        { "a role of which STS writes XML", { "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL=@" },
          "[default]\nrole_arn = arn:x\nsource_profile = default\naws_access_key_id = A\naws_secret_access_key = y", "",
          { { "POST / ", "Credential=A/", 200, STS_XML } }, "ASIAXML", "profile 'default'", "eu-west-1", 1 },
        { "a role that may not be assumed", { "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL_STS=@" },
          "[default]\nrole_arn = arn:x\nsource_profile = default\naws_access_key_id = A\naws_secret_access_key = y", "",
          { { "POST / ", NULL, 403, "{\"Error\":{\"Code\":\"AccessDenied\",\"Message\":\"no\"}}" } }, NULL,
          "refused by STS: AccessDenied: a policy does not allow it", NULL, 1 },
        { "a role over the instance's", { HERE, "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL_STS=@" },
          "[default]\nrole_arn = arn:x\ncredential_source = Ec2InstanceMetadata", "",
          { { TOKEN, NULL, 200, "TOKEN" }, { ROLES, NULL, 200, "web" }, { ROLE, NULL, 200, KEYS("ASIAEC2", "Token") },
            { "POST / ", "Credential=ASIAEC2/", 200, STS_ANSWER("AssumeRole") } },
          "ASIAROLE", "profile 'default'", "eu-west-1", 4 },
        { "web identity of the environment",
          { "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL_STS=@", "AWS_ROLE_ARN=arn:aws:iam::1:role/w",
            "AWS_WEB_IDENTITY_TOKEN_FILE=~/token", "AWS_ROLE_SESSION_NAME=pod" }, "", "",
          { { "POST / ", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fw&"
                         "RoleSessionName=pod&WebIdentityToken=j.w.t", 200, STS_ANSWER("AssumeRoleWithWebIdentity") } },
          "ASIAROLE", "web identity", "eu-west-1", 1 },
        { "web identity without a role", { "AWS_REGION=eu-west-1", "AWS_WEB_IDENTITY_TOKEN_FILE=/x", OFF }, "", "",
          { { 0 } }, NULL, "AWS_ROLE_ARN is not", NULL, 0 },
        { "FIPS and an endpoint of one's own",
          { "AWS_REGION=us-east-1", "AWS_ENDPOINT_URL_STS=@", "AWS_USE_FIPS_ENDPOINT=true" },
          "[default]\nrole_arn = arn:x\nsource_profile = default\naws_access_key_id = A\naws_secret_access_key = y", "",
          { { 0 } }, NULL, "both FIPS endpoints and", NULL, 0 },
};

static const char *getenv_of_case(void *ctx, const char *name)
{
        const struct fixture *f = ctx;
        size_t len = strlen(name);

        for (size_t i = 0; i < ARRAY_LEN(f->env_text) && f->env_text[i] != NULL; i++)
                if (strncmp(f->env_text[i], name, len) == 0 && f->env_text[i][len] == '=')
                        return f->env_text[i] + len + 1;
        return NULL;
}

/* The value with '@' as the URL of the server and '~' as the home. */
static char *expand(const struct fixture *f, const char *text)
{
        AUTO(buf) out = BUF_MAX(1 * KiB);

        for (; *text != '\0'; text++) {
                if (*text == '@')
                        buf_put_c(&out, f->peer.url);
                else if (*text == '~')
                        buf_put_c(&out, f->home);
                else
                        buf_put_char(&out, *text);
        }
        return buf_take(&out);
}

static bool serve(void *ctx, struct str request, struct buf *out)
{
        struct fixture *f = ctx;

        free(f->last_request);
        f->last_request = str_dup(request);
        for (size_t i = 0; i < ARRAY_LEN(f->c->served) && f->c->served[i].request != NULL; i++) {
                const struct served *s = &f->c->served[i];

                if (!str_starts_with(request, str_of(s->request)))
                        continue;
                if (s->holds != NULL && !str_contains(request, str_of(s->holds))) {
                        print_error("the request lacks '%s':\n%s\n", s->holds, f->last_request);
                        http_peer_put(out, 500, "text/plain", "");
                        return true;
                }
                if (s->status != 0)
                        http_peer_put(out, s->status, "application/json", s->body);
                return true;
        }
        http_peer_put(out, 404, "text/html", "");
        return true;
}

static void on_done(void *ctx, struct aws_resolution *r, struct error *err)
{
        struct fixture *f = ctx;

        assert_false(f->done);
        f->done = true;
        f->r = *r;
        *r = (struct aws_resolution){ 0 };
        f->err = err;
}

static void set_up(struct fixture *f, const struct chain_case *c)
{
        *f = (struct fixture){ .c = c, .home = test_dir_new() };
        assert_null(loop_init(&f->loop, NULL));
        http_peer_start(&f->peer, &f->loop, serve, f);
        AUTO_MEM char *folder = path_in(f->home, ".aws");
        assert_int_equal(mkdir(folder, 0700), 0);
        given_file(f->home, ".aws/config", c->config);
        given_file(f->home, ".aws/credentials", c->credentials);
        given_file(f->home, "token", "j.w.t\n");
        for (size_t i = 0; i < ARRAY_LEN(c->env) && c->env[i] != NULL; i++)
                f->env_text[i] = expand(f, c->env[i]);
}

static struct aws_resolve *begin(struct fixture *f)
{
        const struct aws_resolve_options o = { .getenv = getenv_of_case, .getenv_ctx = f, .home = f->home };

        return aws_resolve_start(&f->loop, &o, on_done, f);
}

static void tear_down(struct fixture *f)
{
        static const char *const files[] = { ".aws/config", ".aws/credentials", "token", ".aws", "" };

        http_peer_stop(&f->peer);
        loop_run(&f->loop);
        loop_release(&f->loop);
        for (size_t i = 0; i < ARRAY_LEN(files); i++) {
                AUTO_MEM char *path = path_in(f->home, files[i]);
                assert_int_equal(remove(path), 0);
        }
        free(f->home);
        for (size_t i = 0; i < ARRAY_LEN(f->env_text); i++)
                free(f->env_text[i]);
        aws_resolution_release(&f->r);
        error_free(f->err);
        free(f->last_request);
}

static void check_no_secret(const char *text)
{
        assert_true(text == NULL || strstr(text, "s3cr3t") == NULL);
}

static void walks_the_chain(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                const struct chain_case *c = &cases[i];
                struct fixture f;

                print_message("%s\n", c->name);
                set_up(&f, c);
                (void)!begin(&f);
                while (!f.done)
                        uv_run(&f.loop.uv, UV_RUN_ONCE);
                if (f.err != NULL)
                        print_message("    %s\n", f.err->what);
                assert_int_equal(f.err == NULL, c->key_id != NULL);
                if (f.err == NULL) {
                        assert_true(str_equal(secret_str(&f.r.credentials.access_key_id), str_of(c->key_id)));
                        assert_non_null(strstr(f.r.source, c->sends));
                } else {
                        assert_non_null(strstr(f.err->what, c->sends));
                        assert_int_equal(f.r.credentials.access_key_id.len, 0);
                }
                if (c->region != NULL)
                        assert_string_equal(f.r.region, c->region);
                assert_int_equal(f.peer.requests, c->requests);
                for (const struct error *e = f.err; e != NULL; e = e->cause) {
                        check_no_secret(e->what);
                        check_no_secret(e->hint);
                }
                for (size_t k = 0; k < f.r.tried_count; k++)
                        check_no_secret(f.r.tried[k].outcome);
                for (size_t k = 0; k < f.r.warning_count; k++)
                        check_no_secret(f.r.warnings[k]);
                tear_down(&f);
        }
}

static const struct chain_case silent = {
        "a silent server", { HERE }, "", "", { { TOKEN, NULL, 0, "" } }, NULL, "", NULL, 1
};
static const struct chain_case slow_process = {
        "a slow process", { "AWS_REGION=eu-west-1" }, "[default]\ncredential_process = /bin/cat /dev/zero", "", { { 0 } },
        NULL, "", NULL, 0
};
static const struct chain_case silent_sts = {
        "a silent STS", { "AWS_REGION=eu-west-1", "AWS_ENDPOINT_URL_STS=@" },
        "[default]\nrole_arn = arn:x\nsource_profile = default\naws_access_key_id = A\naws_secret_access_key = y", "",
        { { "POST / ", NULL, 0, "" } }, NULL, "", NULL, 1
};

static void can_be_cancelled_wherever_it_waits(void **state)
{
        static const struct chain_case *const waits[] = { &silent, &silent_sts, &slow_process };

        (void)state;
        for (size_t i = 0; i < 2 * ARRAY_LEN(waits); i++) {
                const struct chain_case *c = waits[i / 2];
                struct fixture f;

                set_up(&f, c);
                struct aws_resolve *a = begin(&f);
                if (i % 2 == 0) { /* while it waits; in odd rounds before it has begun */
                        while (f.peer.requests < c->requests)
                                uv_run(&f.loop.uv, UV_RUN_ONCE);
                        if (c->requests == 0)
                                uv_run(&f.loop.uv, UV_RUN_NOWAIT);
                }
                aws_resolve_cancel(a);
                assert_false(f.done);
                while (!f.done)
                        uv_run(&f.loop.uv, UV_RUN_ONCE);
                assert_int_equal(f.err->code, ERROR_CANCELLED);
                tear_down(&f);
        }
}

static const struct chain_case warned = {
        "warnings",
        { "AWS_ACCESS_KEY_ID=A", "AWS_SECRET_ACCESS_KEY=s", OFF, "AWS_ENDPOINT_URL=http://x", "AWS_USE_DUALSTACK_ENDPOINT=true" },
        "[prod]\nregion = us-west-2", "", { { 0 } }, "A", "", NULL, 0
};

static void warns_of_misleading_settings(void **state)
{
        static const char *const expected[] = { "section is ignored", "can be read by others", "assuming roles only",
                                                "dual-stack", "us-east-1 is used" };
        struct fixture f;

        (void)state;
        set_up(&f, &warned);
        AUTO_MEM char *path = path_in(f.home, ".aws/credentials");
        assert_int_equal(chmod(path, 0644), 0);
        (void)!begin(&f);
        while (!f.done)
                uv_run(&f.loop.uv, UV_RUN_ONCE);
        assert_null(f.err);
        assert_int_equal(f.r.warning_count, ARRAY_LEN(expected));
        for (size_t i = 0; i < ARRAY_LEN(expected); i++)
                assert_non_null(strstr(f.r.warnings[i], expected[i]));
        assert_string_equal(f.r.sts.name, "sts.us-east-1.amazonaws.com");
        tear_down(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(walks_the_chain),
                cmocka_unit_test(can_be_cancelled_wherever_it_waits),
                cmocka_unit_test(warns_of_misleading_settings),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
