/* A stand-in for libnvidia-ml.so.1, written from the documented interface of NVML (nvml.h): what the tests need of it.
 * FAKE_NVML chooses the machine: "one", "two", "none" (no GPU), "no-driver", "no-permission", "silent" (a GPU that does
 * not tell its utilisation), "lost" (a GPU that fell off the bus), "half-lost" (the first of two did). */
#include <stdlib.h>
#include <string.h>

typedef unsigned int uint;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { uint gpu, memory; } utilization_t;

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, INSUFFICIENT_SIZE = 7,
       DRIVER_NOT_LOADED = 9, UNKNOWN = 999, GPU_IS_LOST = 15 };

static int opened = 0;
static int devices[2] = {0, 1};

static int is(const char *machine) {
    const char *chosen = getenv("FAKE_NVML");
    return strcmp(chosen ? chosen : "one", machine) == 0;
}

static int put(char *into, uint length, const char *text) {
    if (strlen(text) + 1 > length) return INSUFFICIENT_SIZE;
    strcpy(into, text);
    return SUCCESS;
}

int nvmlInit_v2(void) {
    if (is("no-driver")) return DRIVER_NOT_LOADED;
    if (is("no-permission")) return NO_PERMISSION;
    opened++;
    return SUCCESS;
}

int nvmlInitWithFlags(uint flags) { (void)flags; return nvmlInit_v2(); }

int nvmlShutdown(void) { opened--; return SUCCESS; }

/* For the tests alone: how often it was opened and not closed. */
int fakeStillOpen(void) { return opened; }

const char *nvmlErrorString(int code) {
    switch (code) {
        case DRIVER_NOT_LOADED: return "Driver Not Loaded";
        case NO_PERMISSION: return "Insufficient Permissions";
        case NOT_SUPPORTED: return "Not Supported";
        case GPU_IS_LOST: return "GPU is lost";
        default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *version, uint length) { return put(version, length, "550.00"); }

int nvmlDeviceGetCount_v2(uint *count) {
    *count = is("two") || is("half-lost") ? 2 : is("none") ? 0 : 1;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(uint index, void **device) {
    if (is("lost") || (is("half-lost") && index == 0)) return GPU_IS_LOST;
    if (index > 1) return INVALID_ARGUMENT;
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetName(void *device, char *name, uint length) {
    return put(name, length, *(int *)device ? "NVIDIA Stand-in 24" : "NVIDIA Stand-in 8");
}

int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory) {
    memory->total = (*(int *)device ? 24ULL : 8ULL) << 30;
    memory->used = 1ULL << 30;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *device, utilization_t *rates) {
    (void)device;
    if (is("silent")) return NOT_SUPPORTED;
    rates->gpu = 37;
    rates->memory = 5;
    return SUCCESS;
}
