/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "api/service.h"
#include "base/arena.h"
#include "base/bug.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/teleport/commands.h"
#include "os/process_title.h"
#include "os/sandbox.h"
#include "resource/config.h"
#include "signer/signer.h"
#include "sts/sts.h"

const struct argument service_arguments[] = {
        { "name", .is_required = true, .help = "A process of the table of services" },
        { 0 },
};

/* State of a service without code for the supervisor: the service calls send_ready when it is ready. */
struct sandboxed {
        struct service *service;
        bool is_ready;
};

static void send_ready(void *ctx)
{
        struct sandboxed *self = ctx;

        self->is_ready = true;
        service_ready(self->service);
}

/*
 * A temporary failure (a full disk, a lost peer) may be over when the service is started again. Any other failure
 * is permanent, and its reason is reported to the supervisor.
 */
static int finish(struct sandboxed *self, struct error *err)
{
        if (err == NULL)
                return 0;
        if (self->is_ready && (err->code == ERROR_UNAVAILABLE || err->code == ERROR_RESOURCE_EXHAUSTED)) {
                log_error("cannot go on", LOG_ERR(err));
                error_free(err);
        } else {
                service_fatal(self->service, err);
        }
        return 1;
}

static int run_signer(struct service *s)
{
        struct sandboxed self = { s, false };
        int link = service_take_fd(s, "auth");

        /* Auth ends with the link, and the supervisor shows the first reason that it gets: a copy of the link lasts as long as the process. */
        if (fcntl(link, F_DUPFD_CLOEXEC, 0) < 0)
                return finish(&self, error_errno(errno, "cannot copy the link to auth"));
        /* signer_main enters its sandbox itself, after it has opened its files. */
        enum key_kind token_key = config_signs_tokens_by_es256(s->boot->config) ? KEY_ECDSA_P256 : KEY_RSA_2048;
        return finish(&self, signer_main(s->boot->data_dir, token_key, link, send_ready, &self));
}

static struct error *sts_sandboxed(struct sandboxed *self)
{
        struct service *s = self->service;
        const Cteleport__V1__AuthConfig *auth = s->boot->config->auth_service;
        const Cteleport__V1__AwsConfig *aws = auth == NULL ? NULL : auth->aws;
        struct sts_options options = { 0 };

        if (aws != NULL) {
                const char **regions = arena_alloc(s->arena, (aws->n_extra_regions + 1) * sizeof(*regions));

                for (size_t i = 0; i < aws->n_extra_regions; i++)
                        regions[i] = aws->extra_regions[i];
                options = (struct sts_options){
                        .connect_to = aws->sts_connect_to,
                        .extra_regions = regions,
                        .fips = aws->has_fips && aws->fips,
                };
        }
        AUTO(buf) ca_pem = BUF_MAX(LIMIT_AWS_FILE);

        TRY(sts_prepare(&ca_pem));
        options.ca_pem = buf_str(&ca_pem);
        TRY(sandbox_become_unprivileged(&s->row->user));
        TRY(sandbox_enter(s->row->sandbox, (struct sandbox_paths){ .read = sts_sandbox_read_paths() }));
        log_debug("sandbox", LOG_C("has", sandbox_describe()));
        return sts_main(service_take_fd(s, "auth"), options, send_ready, self);
}

static int run_sts(struct service *s)
{
        struct sandboxed self = { s, false };

        return finish(&self, sts_sandboxed(&self));
}

/* The main functions of the processes in the table of services. */
static const struct {
        const char *process;
        int (*main)(struct service *s);
} mains[] = {
        { "signer", run_signer },      { "sts", run_sts }, { "auth", auth_main }, { "proxy", proxy_main },
        { "instance", instance_main }, { "ssh", ssh_main }, { "labels", labels_main },
        { "app", app_main },
        { "aws-sign", aws_sign_main }, { "acme", acme_main },      { "diag", diag_main },
};

static int run(struct service *s)
{
        if (s->row->main != NULL)
                return s->row->main(s);
        for (size_t i = 0; i < ARRAY_LEN(mains); i++)
                if (strcmp(mains[i].process, s->row->name) == 0)
                        return mains[i].main(s);
        bug("the process '%s' of the table of services has no main", s->row->name);
}

struct error *service_run(void *ctx, const struct flags *given)
{
        static struct service service; /* used until the process ends */
        struct str name = str_of(flags_argument(given, 0));

        AUTO_MEM char *title = mem_printf("teleport: %.*s", STR_ARG(name));

        (void)ctx;
        process_set_name(title); /* executed as /proc/self/exe, so the kernel would name it "exe" */
        TRY(service_begin(&service));
        if (!str_equal(name, str_of(service.row->name)))
                return error_new(ERROR_INVALID_ARGUMENT, "there is no such service");
        exit(run(&service));
}
