/* A stand-in for libnvidia-ml.so.1, written from the documented interface of NVML (nvml.h): what the tests need of it.
 *
 * FAKE_NVML chooses the machine: "one", "two", "none" (no GPU), "no-driver", "no-permission", "silent" (a GPU that does
 * not tell its utilisation, screen, mode or processes), "lost" (a GPU that fell off the bus), "half-lost" (the first of
 * two did).
 *
 * FAKE_NVML_FILE names a file that says it all instead and is read anew at every question, so that a test can change the
 * machine while it runs. One line for each GPU: total bytes, used bytes, whether it drives a screen (0 or 1), compute
 * mode (0, 2 or 3), then pid:bytes for each process on it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned int uint;
typedef unsigned long long u64;
typedef struct { u64 total, free, used; } memory_t;
typedef struct { uint gpu, memory; } utilization_t;
typedef struct { uint pid; u64 used; uint gpu_instance, compute_instance; } process_t;

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, INSUFFICIENT_SIZE = 7,
       DRIVER_NOT_LOADED = 9, UNKNOWN = 999, GPU_IS_LOST = 15 };
enum { MOST_GPUS = 8, MOST_PROCESSES = 16 };

typedef struct {
    u64 total, used;
    uint screen, mode, processes;
    process_t process[MOST_PROCESSES];
} gpu_t;

static int opened = 0;
static int devices[MOST_GPUS] = {0, 1, 2, 3, 4, 5, 6, 7};

static int is(const char *machine) {
    const char *chosen = getenv("FAKE_NVML");
    return strcmp(chosen ? chosen : "one", machine) == 0;
}

static int put(char *into, uint length, const char *text) {
    if (strlen(text) + 1 > length) return INSUFFICIENT_SIZE;
    strcpy(into, text);
    return SUCCESS;
}

/* All GPUs as they are now; returns how many. */
static uint look(gpu_t *gpus) {
    const char *path = getenv("FAKE_NVML_FILE");
    uint count = 0;
    memset(gpus, 0, MOST_GPUS * sizeof *gpus);
    if (!path) {
        count = is("two") || is("half-lost") ? 2 : is("none") ? 0 : 1;
        for (uint i = 0; i < count; i++) {
            gpus[i].total = (i ? 24ULL : 8ULL) << 30;
            gpus[i].used = 1ULL << 30;
            gpus[i].screen = i == 0;
        }
        return count;
    }
    FILE *file = fopen(path, "r");
    char line[1024];
    while (file && count < MOST_GPUS && fgets(line, sizeof line, file)) {
        gpu_t *gpu = &gpus[count];
        int at = 0, more = 0;
        if (sscanf(line, "%llu %llu %u %u%n", &gpu->total, &gpu->used, &gpu->screen, &gpu->mode, &at) < 4) continue;
        for (process_t *p = gpu->process; gpu->processes < MOST_PROCESSES; p++, gpu->processes++, at += more)
            if (sscanf(line + at, " %u:%llu%n", &p->pid, &p->used, &more) < 2) break;
        count++;
    }
    if (file) fclose(file);
    return count;
}

static int number(void *device) { return *(int *)device; }

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
    gpu_t gpus[MOST_GPUS];
    *count = look(gpus);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(uint index, void **device) {
    gpu_t gpus[MOST_GPUS];
    if (is("lost") || (is("half-lost") && index == 0)) return GPU_IS_LOST;
    if (index >= look(gpus)) return INVALID_ARGUMENT;
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetName(void *device, char *name, uint length) {
    gpu_t gpus[MOST_GPUS];
    char text[64];
    look(gpus);
    snprintf(text, sizeof text, "NVIDIA Stand-in %llu", gpus[number(device)].total >> 30);
    return put(name, length, text);
}

int nvmlDeviceGetUUID(void *device, char *uuid, uint length) {
    char text[64];
    snprintf(text, sizeof text, "GPU-00000000-0000-0000-0000-%012d", number(device));
    return put(uuid, length, text);
}

int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory) {
    gpu_t gpus[MOST_GPUS];
    look(gpus);
    memory->total = gpus[number(device)].total;
    memory->used = gpus[number(device)].used;
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

int nvmlDeviceGetDisplayActive(void *device, uint *active) {
    gpu_t gpus[MOST_GPUS];
    if (is("silent")) return NOT_SUPPORTED;
    look(gpus);
    *active = gpus[number(device)].screen;
    return SUCCESS;
}

int nvmlDeviceGetComputeMode(void *device, uint *mode) {
    gpu_t gpus[MOST_GPUS];
    if (is("silent")) return NOT_SUPPORTED;
    look(gpus);
    *mode = gpus[number(device)].mode;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, uint *count, process_t *processes) {
    gpu_t gpus[MOST_GPUS];
    if (is("silent")) return NOT_SUPPORTED;
    look(gpus);
    gpu_t *gpu = &gpus[number(device)];
    uint room = *count;
    *count = gpu->processes;
    if (room < gpu->processes) return INSUFFICIENT_SIZE;
    if (gpu->processes) memcpy(processes, gpu->process, gpu->processes * sizeof *processes);
    return SUCCESS;
}

/* The last process draws as well: a driver names such a one in both lists. */
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, uint *count, process_t *processes) {
    gpu_t gpus[MOST_GPUS];
    if (is("silent")) return NOT_SUPPORTED;
    look(gpus);
    gpu_t *gpu = &gpus[number(device)];
    uint room = *count;
    *count = gpu->processes ? 1 : 0;
    if (room < *count) return INSUFFICIENT_SIZE;
    if (*count) processes[0] = gpu->process[gpu->processes - 1];
    return SUCCESS;
}
