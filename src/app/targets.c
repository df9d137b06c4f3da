/* SPDX-License-Identifier: Apache-2.0 */
#include "app/targets.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/socket.h"

/* The metadata services of AWS, Azure, Google and OpenStack; AWS's by IPv6; that of Alibaba; and AWS's for containers and EKS pods. */
static const char *const metadata_services[] = { "169.254.169.254", "fd00:ec2::254", "100.100.100.200", "169.254.170.2", "169.254.170.23", "fd00:ec2::23" };

void app_targets_init(struct app_targets *t, const Cteleport__V1__AppServiceConfig *service)
{
        bool are_allowed = service->n_allowed_hosts > 0;
        char **texts = are_allowed ? service->allowed_hosts : service->denied_hosts;
        size_t count = are_allowed ? service->n_allowed_hosts : service->n_denied_hosts;

        *t = (struct app_targets){ .networks = mem_array(count, sizeof(struct network)), .are_allowed = are_allowed };
        for (size_t i = 0; i < count; i++) {
                struct error *err = network_parse(str_of(texts[i]), &t->networks[t->count]);

                if (err == NULL)
                        t->count++;
                error_free(err);
        }
}

void app_targets_release(struct app_targets *t)
{
        free(t->networks);
        *t = (struct app_targets){ 0 };
}

static bool is_metadata_service(const struct ip_address *ip)
{
        for (size_t i = 0; i < ARRAY_LEN(metadata_services); i++) {
                struct ip_address known;

                if (ip_parse(str_of(metadata_services[i]), &known) && ip_has_prefix(ip, &known, 8 * known.len))
                        return true;
        }
        return false;
}

bool app_targets_permit(const struct app_targets *t, const struct ip_address *ip)
{
        for (size_t i = 0; i < t->count; i++)
                if (network_has(&t->networks[i], ip))
                        return t->are_allowed;
        return !t->are_allowed && !is_metadata_service(ip);
}

static bool permits(const void *ctx, const struct ip_address *ip)
{
        return app_targets_permit(ctx, ip);
}

struct dial *app_targets_dial(const struct app_targets *t, struct loop *l, const char *target, void (*done)(void *ctx, int fd, struct error *err), void *ctx)
{
        struct dial *d = dial_start(l, str_of(target), MILLISECONDS(TIMEOUT_APP_DIAL), done, ctx);

        dial_permit(d, permits, t);
        return d;
}
